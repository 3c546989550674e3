import type { KernelSide, KernelTimes } from '../check/kernel-times.ts';
import { formatMilliseconds, formatPercent } from './format.ts';

/** One kind of kernel on both sides, as text; empty where a side has none. */
export interface KernelRow {
  readonly kind: string;
  readonly baseline: KernelCells;
  readonly artifact: KernelCells;
}

/** Milliseconds of one run, their share of all kernels, and calls. */
export type KernelCells = readonly [milliseconds: string, share: string, calls: string];

/** Headings of {@link KernelCells}. */
export const KERNEL_HEADINGS: KernelCells = ['ms', 'share', 'calls'];

/** Returns the kinds of kernels of both sides, those of the artifact first and most time first, then the sum. */
export function kernelRows({ baseline, artifact }: KernelTimes): readonly KernelRow[] {
  const kinds = [...artifact.kinds, ...baseline.kinds].map(({ kind }) => kind);
  return [
    ...[...new Set(kinds)].map((kind) => ({
      kind,
      baseline: cellsOf(baseline, kind),
      artifact: cellsOf(artifact, kind),
    })),
    { kind: 'all kernels', baseline: totalOf(baseline), artifact: totalOf(artifact) },
  ];
}

function cellsOf({ kinds }: KernelSide, kind: string): KernelCells {
  const found = kinds.find((own) => own.kind === kind);
  if (found === undefined) return ['', '', ''];
  const { milliseconds, share, callsPerRun } = found;
  return [formatMilliseconds(milliseconds), formatPercent(share, 0), String(callsPerRun)];
}

function totalOf({ milliseconds, kinds }: KernelSide): KernelCells {
  const calls = kinds.reduce((sum, { callsPerRun }) => sum + callsPerRun, 0);
  return [formatMilliseconds(milliseconds), '', String(calls)];
}
