import {
  copyBlock,
  type Matrix,
  type MatrixProduct,
  pasteBlock,
  subtractBlock,
  transpose,
} from './matrix.ts';

/** A positive definite matrix as `lower * transpose(lower)`. */
export interface CholeskyFactor {
  /** `[n, n]`; what stands right of the diagonal means nothing. */
  readonly lower: Matrix;
  /** Rows and columns of a diagonal block; the last may be smaller. */
  readonly blockSize: number;
  /** Inverses of the diagonal blocks of `lower`, lower triangular. */
  readonly inverses: readonly Matrix[];
}

/** Larger blocks leave less to copy, smaller ones less to do outside the product. */
const BLOCKS = { small: 128, large: 512, largeFrom: 4096 } as const;

/** Rows of a trailing block that are updated at once: bounds the memory of a product. */
const STRIP = 2048;

/**
 * Factors a symmetric matrix, of which only the lower triangle is read and which is overwritten; undefined when it is
 * not positive definite in float64. By blocks from the left, so that all but n * blockSize^2 of its operations are in
 * `multiply` (right-looking Cholesky, Golub and Van Loan 2013, section 4.2.9).
 */
export async function factorCholesky(
  matrix: Matrix,
  multiply: MatrixProduct,
): Promise<CholeskyFactor | undefined> {
  const size = matrix.rows;
  const blockSize = size < BLOCKS.largeFrom ? BLOCKS.small : BLOCKS.large;
  const inverses: Matrix[] = [];
  for (let from = 0; from < size; from += blockSize) {
    const to = Math.min(from + blockSize, size);
    const diagonal = copyBlock(matrix, { rows: [from, to], columns: [from, to] });
    if (!factorHere(diagonal)) return undefined;
    pasteBlock(matrix, diagonal, from, from);
    const inverse = invertLower(diagonal);
    inverses.push(inverse);
    if (to === size) break;
    const below = copyBlock(matrix, { rows: [to, size], columns: [from, to] });
    const panel = await multiply(below, inverse);
    pasteBlock(matrix, panel, to, from);
    await updateTrailing(matrix, panel, to, multiply);
  }
  return { lower: matrix, blockSize, inverses };
}

/** `matrix[to:, to:] -= panel * transpose(panel)`, strip by strip, up to the diagonal. */
async function updateTrailing(
  matrix: Matrix,
  panel: Matrix,
  to: number,
  multiply: MatrixProduct,
): Promise<void> {
  const all: readonly [number, number] = [0, panel.columns];
  for (let first = 0; first < panel.rows; first += STRIP) {
    const last = Math.min(first + STRIP, panel.rows);
    const strip = copyBlock(panel, { rows: [first, last], columns: all });
    const upTo = copyBlock(panel, { rows: [0, last], columns: all });
    subtractBlock(matrix, await multiply(strip, upTo), to + first, to);
  }
}

/** Replaces the lower triangle by its factor; false when a pivot is not positive. */
function factorHere({ rows: size, values }: Matrix): boolean {
  for (let row = 0; row < size; row++) {
    const own = row * size;
    for (let column = 0; column <= row; column++) {
      const other = column * size;
      let sum = values[own + column]!;
      for (let index = 0; index < column; index++) {
        sum -= values[own + index]! * values[other + index]!;
      }
      if (column < row) values[own + column] = sum / values[other + column]!;
      else if (!(sum > 0) || sum === Number.POSITIVE_INFINITY) return false;
      else values[own + row] = Math.sqrt(sum);
    }
    values.fill(0, own + row + 1, own + size);
  }
  return true;
}

/** Returns the inverse of a lower triangular matrix. */
function invertLower({ rows: size, values }: Matrix): Matrix {
  const inverse = new Float64Array(size * size);
  for (let column = 0; column < size; column++) {
    inverse[column * size + column] = 1 / values[column * size + column]!;
    for (let row = column + 1; row < size; row++) {
      let sum = 0;
      for (let index = column; index < row; index++) {
        sum += values[row * size + index]! * inverse[index * size + column]!;
      }
      inverse[row * size + column] = -sum / values[row * size + row]!;
    }
  }
  return { rows: size, columns: size, values: inverse };
}

/**
 * Returns `rows * inverse(A)` for the A that was factored: each row of `[p, n]` is solved for by itself.
 */
export async function solveRows(
  factor: CholeskyFactor,
  rows: Matrix,
  multiply: MatrixProduct,
): Promise<Matrix> {
  const solved: Matrix = { ...rows, values: rows.values.slice() };
  await substituteForward(factor, solved, multiply);
  await substituteBack(factor, solved, multiply);
  return solved;
}

/**
 * Returns the upper triangular U `[n, n]` with `inverse(A) = U * transpose(U)`: `U = transpose(inverse(lower))`. The rows of U
 * that belong to a few features give the block of the inverse that belongs to them.
 */
export async function inverseRoot(
  factor: CholeskyFactor,
  multiply: MatrixProduct,
): Promise<Matrix> {
  const size = factor.lower.rows;
  const root: Matrix = { rows: size, columns: size, values: new Float64Array(size * size) };
  for (let index = 0; index < size; index++) root.values[index * (size + 1)] = 1;
  await substituteForward(factor, root, multiply, true);
  return root;
}

/** `rows := rows * inverse(transpose(lower))`. With `isUpper`, rows below a block's columns are zero there and are left out. */
async function substituteForward(
  { lower, blockSize, inverses }: CholeskyFactor,
  rows: Matrix,
  multiply: MatrixProduct,
  isUpper = false,
): Promise<void> {
  for (const [block, inverse] of inverses.entries()) {
    const from = block * blockSize;
    const columns: readonly [number, number] = [from, from + inverse.rows];
    const count: readonly [number, number] = [0, isUpper ? columns[1] : rows.rows];
    if (from > 0) {
      const before = copyBlock(rows, { rows: count, columns: [0, from] });
      const weights = copyBlock(lower, { rows: columns, columns: [0, from] });
      subtractBlock(rows, await multiply(before, weights), 0, from);
    }
    const own = copyBlock(rows, { rows: count, columns });
    pasteBlock(rows, await multiply(own, inverse), 0, from);
  }
}

/** `rows := rows * inverse(lower)` */
async function substituteBack(
  { lower, blockSize, inverses }: CholeskyFactor,
  rows: Matrix,
  multiply: MatrixProduct,
): Promise<void> {
  const all: readonly [number, number] = [0, rows.rows];
  const size = lower.rows;
  for (const [block, inverse] of [...inverses.entries()].reverse()) {
    const from = block * blockSize;
    const columns: readonly [number, number] = [from, from + inverse.rows];
    const to = columns[1];
    if (to < size) {
      const after = copyBlock(rows, { rows: all, columns: [to, size] });
      const weights = transpose(copyBlock(lower, { rows: [to, size], columns }));
      subtractBlock(rows, await multiply(after, weights), 0, from);
    }
    const own = copyBlock(rows, { rows: all, columns });
    pasteBlock(rows, await multiply(own, transpose(inverse)), 0, from);
  }
}
