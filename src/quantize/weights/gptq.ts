import type { AffineParameters } from '../../numerics/affine.ts';
import {
  type Int4Grid,
  type Int4Rows,
  int4BlockCount,
  quantizeInt4,
} from '../../numerics/int4-blocks.ts';
import { inverseFactor } from '../../numerics/inverse-factor.ts';
import { type CarriedRow, carryErrors } from './carry-errors.ts';
import { dampingOf, type InputMoments } from './input-moments.ts';
import { blockChooser, type RoundInt4 } from './round-int4.ts';

/** How errors are made good: the factor of {@link gptqFactor}, `width` x `width`. */
export interface GptqCarry {
  readonly factor: Float64Array;
  readonly width: number;
}

/** Settings of {@link roundByGptq} beside the grid. */
export interface GptqOptions extends GptqCarry {
  /** Weighs the features when block ranges are searched; ranges are not searched when absent. */
  readonly importance?: Float64Array | undefined;
}

/**
 * Returns the upper triangular factor of the inverse of the damped Gram matrix, by which GPTQ carries
 * errors. The damping is raised tenfold until the matrix is positive definite.
 * Throws RangeError when the moments have no Gram matrix, or one that holds NaN or infinity.
 */
export function gptqFactor(moments: InputMoments): Float64Array {
  const { gram, width } = moments;
  if (gram === undefined) throw new RangeError(`gptq: no Gram matrix (width ${width})`);
  for (let ridge = dampingOf(moments); Number.isFinite(ridge); ridge *= 10) {
    const factor = inverseFactor(gram, width, ridge);
    if (factor !== undefined) return factor;
  }
  throw new RangeError(`gptq: the second moments are not finite (width ${width})`);
}

/**
 * Returns rounding to 4 bits by GPTQ (Frantar et al. 2022): features are rounded one after the other, and the
 * error of each is made good by those that follow, as far as the inputs are correlated. The range of a
 * block is chosen from the weights as they have become when its first feature is reached. In float64;
 * rows do not depend on each other.
 */
export function roundByGptq(grid: Int4Grid, options: GptqOptions): RoundInt4 {
  const choose = blockChooser(grid, options.importance);
  return (weights, into) =>
    carryErrors(weights, into.rowCount, options, (panel) => roundInt4Panel(panel, into, choose));
}

function roundInt4Panel(
  { row: place, values: row, errors, from, to, factor }: CarriedRow,
  into: Int4Rows,
  choose: ReturnType<typeof blockChooser>,
): void {
  const { columnCount: width, blockSize } = into;
  const blocks = int4BlockCount(width, blockSize);
  const first = place * blocks + Math.floor(from / blockSize);
  // A block that began in an earlier panel.
  let parameters: AffineParameters = {
    scale: into.scales[first]!,
    zeroPoint: into.zeroPoints[first]!,
  };
  for (let column = from; column < to; column++) {
    if (column % blockSize === 0) {
      const end = Math.min(column + blockSize, width);
      parameters = choose(row.subarray(column, end), column, end);
      const block = place * blocks + column / blockSize;
      into.scales[block] = parameters.scale;
      into.zeroPoints[block] = parameters.zeroPoint;
    }
    const integer = quantizeInt4(row[column]!, parameters);
    into.integers[place * width + column] = integer;
    const rounded = (integer - parameters.zeroPoint) * parameters.scale;
    const start = column * width;
    const error = (row[column]! - rounded) / factor[start + column]!;
    errors[column - from] = error;
    for (let next = column + 1; next < to; next++) {
      row[next] = row[next]! - error * factor[start + next]!;
    }
  }
}
