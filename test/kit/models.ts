/** Graphs small enough to check by hand, and seeded weights for them. */
import { type AttributeLiteral, attributes } from '../../src/ir/attributes.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Dim, Model, Node, ValueInfo } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { float32ToFloat16 } from '../../src/numerics/float16.ts';
import type { ActivationRange } from '../../src/quantize/quantization-plan.ts';

export type Float = 'float32' | 'float16';

export function node(
  opType: string,
  inputs: readonly string[],
  output: string,
  literals: Readonly<Record<string, AttributeLiteral>> = {},
): Node {
  return {
    name: `/${output}/${opType}`,
    opType,
    domain: '',
    inputs,
    outputs: [output],
    attributes: attributes(literals),
  };
}

export function value(name: string, dataType: DataType, shape: readonly Dim[]): ValueInfo {
  return { name, type: { kind: 'tensor', dataType, shape } };
}

export function floats(
  name: string,
  dims: readonly number[],
  values: ArrayLike<number>,
  dataType: Float = 'float32',
): Tensor {
  const data =
    dataType === 'float32'
      ? Float32Array.from(values)
      : Uint16Array.from(Array.from(values), float32ToFloat16);
  return inlineTensor(name, dataType, dims, new Uint8Array(data.buffer));
}

export function model(parts: {
  readonly nodes: readonly Node[];
  readonly initializers?: readonly Tensor[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly opset?: number;
}): Model {
  return {
    irVersion: 8,
    opsetImports: [{ domain: '', version: parts.opset ?? 18 }],
    functions: [],
    storage: { external: false, files: [] },
    graph: {
      name: 'small',
      nodes: parts.nodes,
      inputs: parts.inputs,
      outputs: parts.outputs,
      initializers: new Map((parts.initializers ?? []).map((tensor) => [tensor.name, tensor])),
      sparseInitializers: [],
      valueInfo: new Map(),
    },
  };
}

/** Numbers in [-1, 1), the same for the same seed. */
export function noise(seed: number, count: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

export interface LinearSpec {
  readonly op: 'MatMul' | 'Gemm';
  readonly rank: 2 | 3;
  /** [out, in] behind transB or a Transpose node. */
  readonly transposed?: boolean;
  readonly bias?: boolean;
  readonly float?: Float;
  readonly opset?: number;
}

export const IN = 64;
export const OUT = 48;

/** y = x W (+ b), in every spelling that exporters use. */
export function linearModel(spec: LinearSpec): Model {
  const { op, rank, transposed = false, bias = false, float = 'float32' } = spec;
  const weights = noise(1, IN * OUT);
  const initializers = [floats('w', transposed ? [OUT, IN] : [IN, OUT], weights, float)];
  if (bias) initializers.push(floats('b', [OUT], noise(2, OUT), float));
  const nodes: Node[] = [];
  if (op === 'Gemm') {
    const literals = transposed ? { transB: 1n } : undefined;
    nodes.push(node('Gemm', bias ? ['x', 'w', 'b'] : ['x', 'w'], 'y', literals));
  } else {
    if (transposed) nodes.push(node('Transpose', ['w'], 'wt', { perm: [1n, 0n] }));
    nodes.push(node('MatMul', ['x', transposed ? 'wt' : 'w'], bias ? 'product' : 'y'));
    if (bias) nodes.push(node('Add', ['product', 'b'], 'y'));
  }
  const shape = (width: number): Dim[] => (rank === 2 ? ['n', width] : ['n', 's', width]);
  return model({
    nodes,
    initializers,
    inputs: [value('x', float, shape(IN))],
    outputs: [value('y', float, shape(OUT))],
    ...(spec.opset !== undefined && { opset: spec.opset }),
  });
}

export function ranges(
  entries: Readonly<Record<string, readonly [number, number]>>,
): ReadonlyMap<string, ActivationRange> {
  return new Map(
    Object.entries(entries).map(([name, [min, max]]) => [name, { min, max, calibrator: 'minmax' }]),
  );
}
