import { median } from '../numerics/quantile.ts';
import type { KernelTime } from '../runners/onnxruntime/session-commands.ts';

/** Where the time of one run goes, by onnxruntime's own profile; on a CPU alone. */
export interface KernelTimes {
  readonly scenario: string;
  /** What the artifact is compared with, as in the scenario: `float32 twin`. */
  readonly baselineLabel: string;
  readonly baseline: KernelSide;
  readonly artifact: KernelSide;
}

/** Time of one model by kind of kernel. */
export interface KernelSide {
  /** Of all kernels of one run. Profiling costs time, and a run has more to it than its kernels. */
  readonly milliseconds: number;
  /** Most time first. */
  readonly kinds: readonly KernelKindTime[];
}

/** Kernels of one kind. */
export interface KernelKindTime {
  /** `MatMulNBits`, `QGemm` and their like by name; `MatMul, Gemm (float)`, `attention`, `other`. */
  readonly kind: string;
  readonly callsPerRun: number;
  readonly milliseconds: number;
  /** Of the time of all kernels. */
  readonly share: number;
}

/** Kernels that work on INT8 or 4-bit weights keep their own name: which of them runs decides the speed. */
const INTEGER_KERNELS: ReadonlySet<string> = new Set([
  'ConvInteger',
  'DynamicQuantizeMatMul',
  'MatMulInteger',
  'MatMulIntegerToFloat',
  'MatMulNBits',
  'QAttention',
  'QGemm',
  'QLinearConv',
  'QLinearMatMul',
]);

const KINDS: readonly (readonly [kind: string, opTypes: RegExp])[] = [
  ['MatMul, Gemm (float)', /^(Fused)?(MatMul|Gemm)$/],
  ['attention', /Attention$/],
  ['convolution (float)', /Conv(Transpose)?$/],
  ['normalization', /Normalization$/],
  ['quantize, dequantize', /^(Dynamic)?(Quantize|Dequantize)Linear$/],
];

/** Their time is that of the nodes in their bodies, which are profiled, too. */
const CONTROL_FLOW: ReadonlySet<string> = new Set(['If', 'Loop', 'Scan']);

/** Returns the kind of kernel that a table shows for an operator of onnxruntime. */
export function kernelKind(opType: string): string {
  if (INTEGER_KERNELS.has(opType)) return opType;
  return KINDS.find(([, opTypes]) => opTypes.test(opType))?.[0] ?? 'other';
}

/**
 * Returns where the time of one run goes, by kind of kernel, most time first. `runs` were profiled; every
 * node counts with its median run, so that one that was held up by a neighbour does not show.
 */
export function summarizeKernels(kernels: readonly KernelTime[], runs: number): KernelSide {
  const nodes = new Map<string, { opType: string; times: number[] }>();
  for (const { node, opType, milliseconds } of kernels) {
    if (CONTROL_FLOW.has(opType)) continue;
    const known = nodes.get(node);
    if (known === undefined) nodes.set(node, { opType, times: [milliseconds] });
    else known.times.push(milliseconds);
  }
  const groups = new Map<string, { calls: number; milliseconds: number }>();
  for (const { opType, times } of nodes.values()) {
    const kind = kernelKind(opType);
    const { calls, milliseconds } = groups.get(kind) ?? { calls: 0, milliseconds: 0 };
    groups.set(kind, {
      calls: calls + times.length / runs,
      milliseconds: milliseconds + medianRun(times, runs),
    });
  }
  const total = [...groups.values()].reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const kinds = [...groups].map(
    ([kind, { calls, milliseconds }]): KernelKindTime => ({
      kind,
      callsPerRun: Math.round(calls),
      milliseconds,
      share: total === 0 ? 0 : milliseconds / total,
    }),
  );
  return {
    milliseconds: total,
    kinds: kinds.sort((a, b) => b.milliseconds - a.milliseconds || (a.kind < b.kind ? -1 : 1)),
  };
}

/** A node in the body of a loop is called several times a run. */
function medianRun(times: readonly number[], runs: number): number {
  const calls = times.length / runs;
  return median(
    Array.from({ length: runs }, (_, run) =>
      times
        .slice(Math.round(run * calls), Math.round((run + 1) * calls))
        .reduce((sum, milliseconds) => sum + milliseconds, 0),
    ),
  );
}
