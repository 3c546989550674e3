/** Sizes that only a run knows, as small integer tensors. */
import { DATA_TYPE } from '../../formats/mnn/enums.ts';
import type { Dim } from '../../ir/model.ts';
import { emit, type Lowering } from './lowering.ts';

/** Where a slice to the end of an axis ends: far enough, and sums with it do not overflow. */
export const FAR = 2 ** 30;

/**
 * Returns a tensor of the dims, or undefined when one is neither a number nor an axis of a graph input.
 */
export function sizesTensor(lowering: Lowering, dims: readonly Dim[]): string | undefined {
  if (dims.every((dim) => typeof dim === 'number')) return lowering.ints(dims);
  const isKnown = (dim: Dim): boolean =>
    typeof dim === 'number' || (dim !== undefined && lowering.symbols.has(dim));
  if (!dims.every(isKnown)) return undefined;
  const key = `sizes ${JSON.stringify(dims)}`;
  const known = lowering.made.get(key);
  if (known !== undefined) return known;
  const parts = dims.map((dim) =>
    typeof dim === 'number' ? lowering.ints([dim]) : symbolTensor(lowering, String(dim)),
  );
  const made = concatVectors(lowering, parts, 'sizes');
  lowering.made.set(key, made);
  return made;
}

/** Returns the size of an axis of a graph input as a vector of one. */
function symbolTensor(lowering: Lowering, symbol: string): string {
  const { input, axis } = lowering.symbols.get(symbol) ?? { input: '', axis: 0 };
  return dimOf(lowering, lowering.read(input), axis);
}

/** Returns the size of one axis of a tensor as a vector of one; computed once. */
export function dimOf(lowering: Lowering, tensor: string, axis: number): string {
  const key = `dim ${axis} of ${tensor}`;
  const known = lowering.made.get(key);
  if (known !== undefined) return known;
  const made = sliceVector(lowering, shapeVector(lowering, tensor), axis, axis + 1);
  lowering.made.set(key, made);
  return made;
}

/** Returns the shape of a tensor as a vector; computed once. */
export function shapeVector(lowering: Lowering, tensor: string): string {
  const key = `shape of ${tensor}`;
  const known = lowering.made.get(key);
  if (known !== undefined) return known;
  const made = emit(lowering, 'Shape', [tensor], lowering.fresh(`${tensor}_shape`));
  lowering.made.set(key, made);
  return made;
}

/** Returns elements `[start, end)` of a vector of integers. */
export function sliceVector(
  lowering: Lowering,
  vector: string,
  start: number,
  end: number,
): string {
  const inputs = [vector, lowering.ints([start]), lowering.ints([end]), lowering.ints([0])];
  return emit(
    lowering,
    'StridedSlice',
    [...inputs, lowering.ints([1])],
    lowering.fresh(`${vector}_part`),
    {
      kind: 'StridedSliceParam',
      value: { Index: DATA_TYPE.int32, T: DATA_TYPE.int32, fromType: 1 },
    },
  );
}

/** Returns vectors one behind the other. */
export function concatVectors(
  lowering: Lowering,
  vectors: readonly string[],
  name: string,
): string {
  if (vectors.length === 1) return vectors[0]!;
  return emit(lowering, 'Concat', vectors, lowering.fresh(name), {
    kind: 'Axis',
    value: { axis: 0 },
  });
}

/**
 * Returns a tensor with another shape and the same elements. `dims` may have one axis that is not a number, which
 * takes what is left; with more, `runtime` gives the sizes.
 */
export function reshape(
  lowering: Lowering,
  tensor: string,
  dims: readonly Dim[],
  output: string,
  runtime: () => string,
): string {
  const open = dims.filter((dim) => typeof dim !== 'number').length;
  if (open <= 1 && !dims.includes(0)) {
    const fixed = dims.map((dim) => (typeof dim === 'number' ? dim : -1));
    return emit(lowering, 'Reshape', [tensor], output, { kind: 'Reshape', value: { dims: fixed } });
  }
  const sizes = sizesTensor(lowering, dims) ?? runtime();
  return emit(lowering, 'Reshape', [tensor, sizes], output, { kind: 'Reshape', value: {} });
}
