import { readFloatRows } from '../numerics/float-rows.ts';
import type { UnitWeight } from './unit-weights.ts';

/** A weight with the axis of the units first: `[size, length]`, row-major float32. */
export interface AlongAxis {
  readonly values: Float32Array;
  readonly size: number;
  /** Elements of all other axes together. */
  readonly length: number;
}

/** Returns a float weight as rows, one for each index along its axis. The whole weight is in memory. */
export async function readAlongAxis({
  tensor,
  axis,
}: Pick<UnitWeight, 'tensor' | 'axis'>): Promise<AlongAxis> {
  const { outer, size, inner } = layoutAround(tensor.dims, axis);
  const length = outer * inner;
  const values = new Float32Array(size * length);
  // Rows of the file: one outer index after another.
  const columns = size * inner;
  for await (const { firstRow, rowCount, values: block } of readFloatRows(tensor, columns)) {
    for (let row = 0; row < rowCount; row++) {
      for (let index = 0; index < size; index++) {
        const from = row * columns + index * inner;
        const to = index * length + (firstRow + row) * inner;
        for (let offset = 0; offset < inner; offset++) values[to + offset] = block[from + offset]!;
      }
    }
  }
  return { values, size, length };
}

/** How the elements of a weight stand around the axis of its units: `[outer, size, inner]`. */
export interface AxisLayout {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** Returns the layout of a tensor around an axis. */
export function layoutAround(dims: readonly number[], axis: number): AxisLayout {
  const product = (part: readonly number[]): number => part.reduce((all, dim) => all * dim, 1);
  return {
    outer: product(dims.slice(0, axis)),
    size: dims[axis]!,
    inner: product(dims.slice(axis + 1)),
  };
}
