/**
 * Weights of 4 bits with one scale per block of input features, and how onnxruntime's MatMulNBits
 * lays them out. Integers are 0..15 with zero point 8 where none is stored, so 8 is real zero.
 */
import { type AffineParameters, roundHalfToEven } from './affine.ts';

/** Input features that share a scale. */
export type Int4BlockSize = 32 | 64 | 128;

/** How a weight is cut into blocks, and whether blocks have zero points. */
export interface Int4Grid {
  readonly blockSize: Int4BlockSize;
  /** Zero point 8 for every block, and a scale of either sign; else one zero point per block. */
  readonly symmetric: boolean;
}

/** 4-bit integers of whole output channels, `rowCount` x `columnCount` (the input features). */
export interface Int4Rows {
  readonly rowCount: number;
  readonly columnCount: number;
  readonly blockSize: Int4BlockSize;
  /** 0..15, one per byte, row-major. */
  readonly integers: Uint8Array;
  /** `rowCount` x `ceil(columnCount / blockSize)`. */
  readonly scales: Float32Array;
  /** 0..15, like `scales`; 8 throughout when the grid is symmetric. */
  readonly zeroPoints: Uint8Array;
}

/** Zero point of symmetric blocks, which onnxruntime assumes where none is given. */
export const INT4_MIDDLE = 8;
const INT4_MAX = 15;
const FLOAT32_MIN_NORMAL = 2 ** -126;
const ERASED: AffineParameters = { scale: 1, zeroPoint: INT4_MIDDLE };

/** Steps of the search for a narrower range: the widest first, then down to 40 % of it. */
const SEARCH_STEPS = 25;
const SEARCH_FLOOR = 0.4;

/** Returns empty rows to fill. */
export function createInt4Rows(
  rowCount: number,
  columnCount: number,
  blockSize: Int4BlockSize,
): Int4Rows {
  const blocks = rowCount * int4BlockCount(columnCount, blockSize);
  return {
    rowCount,
    columnCount,
    blockSize,
    integers: new Uint8Array(rowCount * columnCount),
    scales: new Float32Array(blocks),
    zeroPoints: new Uint8Array(blocks).fill(INT4_MIDDLE),
  };
}

/** Returns how many blocks a row of `columnCount` features has; the last may be short. */
export function int4BlockCount(columnCount: number, blockSize: Int4BlockSize): number {
  return Math.ceil(columnCount / blockSize);
}

/** Returns the bytes of one row of `columnCount` features: integers, float32 scales and zero points. */
export function int4RowBytes(columnCount: number, { blockSize, symmetric }: Int4Grid): number {
  const blocks = int4BlockCount(columnCount, blockSize);
  return blocks * (blockSize / 2 + 4) + (symmetric ? 0 : Math.ceil(blocks / 2));
}

/**
 * Returns scale and zero point that hold all `values`, as onnxruntime's block quantizer takes them:
 * symmetric, the value of largest magnitude over -8, so that the longer side has the extra integer;
 * asymmetric, the range with zero over 15. A block of zeros has scale 1.
 */
export function int4Parameters(values: ArrayLike<number>, symmetric: boolean): AffineParameters {
  const { min, max } = rangeWithZero(values);
  if (symmetric) return parametersOf((-min > max ? min : max) / -INT4_MIDDLE, INT4_MIDDLE);
  const scale = Math.fround(max - min) / INT4_MAX;
  return parametersOf(scale, Math.min(INT4_MAX, roundHalfToEven(-min / scale)));
}

/**
 * Returns the scale and zero point whose quantized values have the least squared error, each weighted
 * with its `importance`, among ranges of 40 to 100 % of the full one (symmetric: with the extra integer on
 * either side). The full range wins a tie.
 */
export function searchInt4Parameters(
  values: ArrayLike<number>,
  importance: ArrayLike<number>,
  symmetric: boolean,
): AffineParameters {
  let best = int4Parameters(values, symmetric);
  let least = weightedError(values, importance, best, Number.POSITIVE_INFINITY);
  const consider = (candidate: AffineParameters): void => {
    const error = weightedError(values, importance, candidate, least);
    if (error < least) {
      least = error;
      best = candidate;
    }
  };
  const { min, max } = rangeWithZero(values);
  // 7 steps on the short side hold the largest magnitude, too.
  const widest = symmetric ? Math.max(-min, max) / (INT4_MIDDLE - 1) : 1;
  for (let step = 0; step < SEARCH_STEPS && max > min; step++) {
    const share = 1 - ((1 - SEARCH_FLOOR) * step) / (SEARCH_STEPS - 1);
    if (symmetric) {
      consider(parametersOf(widest * share, INT4_MIDDLE));
      consider(parametersOf(-widest * share, INT4_MIDDLE));
    } else {
      const scale = ((max - min) * share) / INT4_MAX;
      consider(parametersOf(scale, Math.min(INT4_MAX, roundHalfToEven((-min * share) / scale))));
    }
  }
  return best;
}

/** Returns `clamp(roundHalfToEven(value / scale) + zeroPoint, 0, 15)`, the division in float32. */
export function quantizeInt4(value: number, { scale, zeroPoint }: AffineParameters): number {
  const rounded = roundHalfToEven(Math.fround(value / scale)) + zeroPoint;
  return Math.max(0, Math.min(INT4_MAX, rounded));
}

/** Returns float32 values `(q - zeroPoint) * scale`, row-major. */
export function dequantizeInt4Rows(rows: Int4Rows): Float32Array {
  const { rowCount, columnCount, blockSize, integers, scales, zeroPoints } = rows;
  const blocks = int4BlockCount(columnCount, blockSize);
  const values = new Float32Array(rowCount * columnCount);
  for (let row = 0, index = 0; row < rowCount; row++) {
    for (let column = 0; column < columnCount; column++, index++) {
      const block = row * blocks + Math.floor(column / blockSize);
      values[index] = (integers[index]! - zeroPoints[block]!) * scales[block]!;
    }
  }
  return values;
}

/**
 * Returns input B of MatMulNBits, [rows, blocks, blockSize / 2]: the first of two features in the low
 * nibble, a short last block filled up with nibbles of 0, which are never multiplied. The bytes are
 * those of onnxruntime's own quantizer.
 */
export function packNbitsWeight(rows: Int4Rows): Uint8Array {
  const { rowCount, columnCount, blockSize, integers } = rows;
  const blocks = int4BlockCount(columnCount, blockSize);
  const rowBytes = (blocks * blockSize) / 2;
  const packed = new Uint8Array(rowCount * rowBytes);
  for (let row = 0; row < rowCount; row++) {
    const first = row * columnCount;
    for (let column = 0, index = 0; column < columnCount; column += 2, index++) {
      const low = integers[first + column]!;
      const high = column + 1 < columnCount ? integers[first + column + 1]! : 0;
      packed[row * rowBytes + index] = low | (high << 4);
    }
  }
  return packed;
}

/** Returns the zero points of MatMulNBits: per row, two blocks to a byte, an odd end filled with 8. */
export function packNbitsZeroPoints(rows: Int4Rows): Uint8Array {
  const { rowCount, columnCount, blockSize, zeroPoints } = rows;
  const blocks = int4BlockCount(columnCount, blockSize);
  const rowBytes = Math.ceil(blocks / 2);
  const packed = new Uint8Array(rowCount * rowBytes);
  for (let row = 0; row < rowCount; row++) {
    for (let index = 0; index < rowBytes; index++) {
      const first = row * blocks + 2 * index;
      const high = 2 * index + 1 < blocks ? zeroPoints[first + 1]! : INT4_MIDDLE;
      packed[row * rowBytes + index] = zeroPoints[first]! | (high << 4);
    }
  }
  return packed;
}

function rangeWithZero(values: ArrayLike<number>): { min: number; max: number } {
  let min = 0;
  let max = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    if (value < min) min = value;
    else if (value > max) max = value;
  }
  return { min, max };
}

function parametersOf(exact: number, zeroPoint: number): AffineParameters {
  const scale = Math.fround(exact);
  return Math.abs(scale) < FLOAT32_MIN_NORMAL ? ERASED : { scale, zeroPoint };
}

/** Stops once past `limit`. */
function weightedError(
  values: ArrayLike<number>,
  importance: ArrayLike<number>,
  parameters: AffineParameters,
  limit: number,
): number {
  const { scale, zeroPoint } = parameters;
  let error = 0;
  for (let index = 0; index < values.length && error < limit; index++) {
    const value = values[index]!;
    const difference = (quantizeInt4(value, parameters) - zeroPoint) * scale - value;
    error += importance[index]! * difference * difference;
  }
  return error;
}
