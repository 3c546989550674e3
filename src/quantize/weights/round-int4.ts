import type { AffineParameters } from '../../numerics/affine.ts';
import {
  type Int4Grid,
  type Int4Rows,
  int4BlockCount,
  int4Parameters,
  quantizeInt4,
  searchInt4Parameters,
} from '../../numerics/int4-blocks.ts';

/** Fills `into` with the integers, scales and zero points of float weights [rows, columns]. */
export type RoundInt4 = (weights: Float32Array, into: Int4Rows) => void;

/**
 * Chooses scale and zero point of the features `[from, to)` of a row, given their values; with an
 * `importance` for each feature of the row by search, else by their range.
 */
export function blockChooser(
  grid: Int4Grid,
  importance: Float64Array | undefined,
): (values: Float32Array | Float64Array, from: number, to: number) => AffineParameters {
  return (values, from, to) =>
    importance === undefined
      ? int4Parameters(values, grid.symmetric)
      : searchInt4Parameters(values, importance.subarray(from, to), grid.symmetric);
}

/**
 * Returns rounding to nearest. Without `importance` the blocks span their range, as onnxruntime's
 * own quantizer has it. With the mean square of each input feature as `importance`, the range of
 * each block is the one with the least squared error of the output, features taken as uncorrelated (sequential
 * MSE, as in AIMET, of one layer at a time on float inputs).
 */
export function roundToNearest(grid: Int4Grid, importance?: Float64Array): RoundInt4 {
  const choose = blockChooser(grid, importance);
  return (weights, into) => {
    const { rowCount, columnCount, integers, scales, zeroPoints } = into;
    const blocks = int4BlockCount(columnCount, grid.blockSize);
    for (let row = 0; row < rowCount; row++) {
      for (let block = 0; block < blocks; block++) {
        const from = block * grid.blockSize;
        const to = Math.min(from + grid.blockSize, columnCount);
        const start = row * columnCount;
        const parameters = choose(weights.subarray(start + from, start + to), from, to);
        scales[row * blocks + block] = parameters.scale;
        zeroPoints[row * blocks + block] = parameters.zeroPoint;
        for (let index = start + from; index < start + to; index++) {
          integers[index] = quantizeInt4(weights[index]!, parameters);
        }
      }
    }
  };
}
