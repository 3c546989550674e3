import type { AffineParameters } from '../../numerics/affine.ts';
import {
  type Int4Grid,
  type Int4Rows,
  int4BlockCount,
  quantizeInt4,
} from '../../numerics/int4-blocks.ts';
import { inverseFactor } from '../../numerics/inverse-factor.ts';
import { dampingOf, type InputMoments } from './input-moments.ts';
import { blockChooser, type RoundInt4 } from './round-int4.ts';

/** Columns whose errors are gathered before they are carried to the right. Blocks begin with one. */
const PANEL = 32;
/** Rows that are carried together: the factor's rows are read once for all of them. */
const TILE_ROWS = 64;

/** Settings of {@link roundByGptq} beside the grid. */
export interface GptqOptions {
  /** See {@link gptqFactor}; `width` x `width`. */
  readonly factor: Float64Array;
  readonly width: number;
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
 * Returns rounding by GPTQ (Frantar et al. 2022): features are rounded one after the other, and the
 * error of each is made good by those that follow, as far as the inputs are correlated. The range of a
 * block is chosen from the weights as they have become when its first feature is reached. In float64;
 * rows do not depend on each other.
 */
export function roundByGptq(grid: Int4Grid, options: GptqOptions): RoundInt4 {
  const { factor, width } = options;
  const choose = blockChooser(grid, options.importance);
  return (weights, into) => {
    const running = new Float64Array(Math.min(TILE_ROWS, into.rowCount) * width);
    const errors = new Float64Array(TILE_ROWS * PANEL);
    for (let firstRow = 0; firstRow < into.rowCount; firstRow += TILE_ROWS) {
      const rows = Math.min(TILE_ROWS, into.rowCount - firstRow);
      running.set(weights.subarray(firstRow * width, (firstRow + rows) * width));
      for (let from = 0; from < width; from += PANEL) {
        const to = Math.min(from + PANEL, width);
        for (let row = 0; row < rows; row++) {
          const place = { row: firstRow + row, from, to };
          const own = running.subarray(row * width, (row + 1) * width);
          roundPanel(own, errors.subarray(row * PANEL), place, into, factor, choose);
        }
        carryErrors(running, errors, { rows, from, to, width, factor });
      }
    }
  };
}

/** Rounds the columns `[from, to)` of one row; their errors over the pivots go to `errors`. */
function roundPanel(
  row: Float64Array,
  errors: Float64Array,
  place: { readonly row: number; readonly from: number; readonly to: number },
  into: Int4Rows,
  factor: Float64Array,
  choose: ReturnType<typeof blockChooser>,
): void {
  const { columnCount: width, blockSize } = into;
  const blocks = int4BlockCount(width, blockSize);
  const first = place.row * blocks + Math.floor(place.from / blockSize);
  // A block that began in an earlier panel.
  let parameters: AffineParameters = {
    scale: into.scales[first]!,
    zeroPoint: into.zeroPoints[first]!,
  };
  for (let column = place.from; column < place.to; column++) {
    if (column % blockSize === 0) {
      const end = Math.min(column + blockSize, width);
      parameters = choose(row.subarray(column, end), column, end);
      const block = place.row * blocks + column / blockSize;
      into.scales[block] = parameters.scale;
      into.zeroPoints[block] = parameters.zeroPoint;
    }
    const integer = quantizeInt4(row[column]!, parameters);
    into.integers[place.row * width + column] = integer;
    const rounded = (integer - parameters.zeroPoint) * parameters.scale;
    const start = column * width;
    const error = (row[column]! - rounded) / factor[start + column]!;
    errors[column - place.from] = error;
    for (let next = column + 1; next < place.to; next++) {
      row[next] = row[next]! - error * factor[start + next]!;
    }
  }
}

interface Panel {
  readonly rows: number;
  readonly from: number;
  readonly to: number;
  readonly width: number;
  readonly factor: Float64Array;
}

/** `running[:, to:] -= errors * factor[from:to, to:]`, four rows of the factor at a time. */
function carryErrors(running: Float64Array, errors: Float64Array, panel: Panel): void {
  const { rows, from, to, width, factor } = panel;
  let column = from;
  for (; column + 3 < to; column += 4) {
    const f0 = column * width;
    const f1 = f0 + width;
    const f2 = f1 + width;
    const f3 = f2 + width;
    for (let row = 0; row < rows; row++) {
      const e = row * PANEL + column - from;
      const e0 = errors[e]!;
      const e1 = errors[e + 1]!;
      const e2 = errors[e + 2]!;
      const e3 = errors[e + 3]!;
      const start = row * width;
      for (let next = to; next < width; next++) {
        const carried =
          e0 * factor[f0 + next]! +
          e1 * factor[f1 + next]! +
          (e2 * factor[f2 + next]! + e3 * factor[f3 + next]!);
        running[start + next] = running[start + next]! - carried;
      }
    }
  }
  for (; column < to; column++) {
    for (let row = 0; row < rows; row++) {
      const error = errors[row * PANEL + column - from]!;
      for (let next = to; next < width; next++) {
        const index = row * width + next;
        running[index] = running[index]! - error * factor[column * width + next]!;
      }
    }
  }
}
