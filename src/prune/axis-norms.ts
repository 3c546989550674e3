import { UnsupportedError } from '../errors.ts';
import { readFloatRows } from '../numerics/float-rows.ts';
import type { UnitWeight, WeightScale } from './unit-weights.ts';

/**
 * Returns, for each index along the axis of a weight, the sum of |w| (`power` 1) or of w squared (2) over all other
 * axes, in float64 of the float32 values: the scores of torch's `ln_structured` on `weight.float()`. Throws
 * {@link UnsupportedError} naming the tensor when a value is NaN or infinite.
 */
export async function axisNorms(
  { tensor, axis, scale }: Pick<UnitWeight, 'tensor' | 'axis' | 'scale'>,
  power: 1 | 2,
): Promise<Float64Array> {
  const size = tensor.dims[axis]!;
  const inner = tensor.dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const sums = new Float64Array(size);
  const columns = inner === 1 ? size : inner;
  const read = scale === undefined ? undefined : dequantizer(tensor.dims, scale);
  for await (const { firstRow, values } of readFloatRows(tensor, columns)) {
    const first = firstRow * columns;
    for (let index = 0; index < values.length; index++) {
      const value = Math.abs(
        read === undefined ? values[index]! : read(values[index]!, first + index),
      );
      const place = inner === 1 ? index % size : Math.floor((first + index) / inner) % size;
      sums[place]! += power === 1 ? value : value * value;
    }
  }
  const bad = sums.findIndex((sum) => !Number.isFinite(sum));
  if (bad >= 0) {
    throw new UnsupportedError(
      `${tensor.name}: the weight holds NaN or infinity in channel ${bad} (expected finite values). Repair the export.`,
    );
  }
  return sums;
}

function dequantizer(
  dims: readonly number[],
  { scales, zeroPoints, axis }: WeightScale,
): (value: number, index: number) => number {
  const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const size = dims[axis] ?? 1;
  return (value, index) => {
    const place = scales.length === 1 ? 0 : Math.floor(index / inner) % size;
    return (value - (zeroPoints[zeroPoints.length === 1 ? 0 : place] ?? 0)) * scales[place]!;
  };
}
