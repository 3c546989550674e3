import { createRowUpdate, PANEL, type RowUpdate } from './row-update.ts';

/** Rows that are updated together: a panel of the factor is loaded once for all of them. */
const TILE_ROWS = 128;

/**
 * Returns the upper triangular U with `inverse(gram + ridge * I) = transpose(U) * U`, row-major float64,
 * for a symmetric matrix `size` x `size` of which the lower triangle is not read. Or undefined when the
 * sum is not positive definite in float64.
 *
 * With gram + ridge * I = R * transpose(R), R upper triangular (Cholesky from the last column on),
 * U is the inverse of R: one factorisation and one triangular inverse, both along rows and by panels of 32.
 */
export function inverseFactor(
  gram: ArrayLike<number>,
  size: number,
  ridge: number,
): Float64Array | undefined {
  const matrix = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const start = row * size;
    for (let column = row; column < size; column++) {
      matrix[start + column] = gram[start + column]!;
    }
    matrix[start + row] = matrix[start + row]! + ridge;
  }
  const update = createRowUpdate(TILE_ROWS, size);
  if (!factorInPlace(matrix, update)) return undefined;
  invertInPlace(matrix, update);
  return matrix;
}

/** Turns the upper triangle to R. False when a pivot is not positive. */
function factorInPlace(matrix: Float64Array, update: RowUpdate): boolean {
  const { width: size } = update;
  for (let end = size; end > 0; end -= PANEL) {
    const from = Math.max(0, end - PANEL);
    if (!factorPanel(matrix, size, from, end)) return false;
    takePanel(matrix, update, from, end);
  }
  return true;
}

/** Finishes the columns `[from, end)`, from which all later columns have been taken. */
function factorPanel(matrix: Float64Array, size: number, from: number, end: number): boolean {
  for (let column = end - 1; column >= from; column--) {
    const own = column * size;
    const square = matrix[own + column]! - dot(matrix, own, own, column + 1, end);
    if (!(square > 0) || square === Number.POSITIVE_INFINITY) return false;
    const pivot = Math.sqrt(square);
    matrix[own + column] = pivot;
    for (let row = 0; row < column; row++) {
      const start = row * size;
      const sum = dot(matrix, start, own, column + 1, end);
      matrix[start + column] = (matrix[start + column]! - sum) / pivot;
    }
  }
  return true;
}

/** Takes the finished columns `[from, end)` from the upper triangle of those before: `A -= R * transpose(R)`. */
function takePanel(matrix: Float64Array, update: RowUpdate, from: number, end: number): void {
  const { width: size, factor, errors, rows } = update;
  factor.fill(0);
  for (let column = from; column < end; column++) {
    const start = (column - from) * size;
    for (let row = 0; row < from; row++) factor[start + row] = matrix[row * size + column]!;
  }
  const tileRows = rows.length / size;
  for (let first = 0; first < from; first += tileRows) {
    const count = Math.min(tileRows, from - first);
    rows.set(matrix.subarray(first * size, (first + count) * size));
    for (let row = 0; row < count; row++) {
      const start = (first + row) * size;
      const own = errors.subarray(row * PANEL, (row + 1) * PANEL);
      own.fill(0);
      own.set(matrix.subarray(start + from, start + end));
      update.subtract(row, first + row, from);
    }
    matrix.set(rows.subarray(0, count * size), first * size);
  }
}

/** Four sums at once, because one would wait for each addition. */
function dot(matrix: Float64Array, a: number, b: number, from: number, to: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let index = from;
  for (; index + 3 < to; index += 4) {
    s0 += matrix[a + index]! * matrix[b + index]!;
    s1 += matrix[a + index + 1]! * matrix[b + index + 1]!;
    s2 += matrix[a + index + 2]! * matrix[b + index + 2]!;
    s3 += matrix[a + index + 3]! * matrix[b + index + 3]!;
  }
  for (; index < to; index++) s0 += matrix[a + index]! * matrix[b + index]!;
  return s0 + s1 + (s2 + s3);
}

/** Turns R to its inverse: rows below a panel hold the inverse already. */
function invertInPlace(matrix: Float64Array, update: RowUpdate): void {
  const { width: size, rows } = update;
  // What a row takes of each row below it: R over the row's pivot.
  const shares = new Float64Array(PANEL * size);
  for (let end = size; end > 0; end -= PANEL) {
    const from = Math.max(0, end - PANEL);
    rows.fill(0, 0, PANEL * size);
    for (let row = from; row < end; row++) {
      const place = (row - from) * size;
      const start = row * size;
      const pivot = matrix[start + row]!;
      for (let column = row + 1; column < size; column++) {
        shares[place + column] = matrix[start + column]! / pivot;
      }
      rows[place + row] = 1 / pivot;
    }
    for (let below = end; below < size; below += PANEL) {
      takeBelow(matrix, update, shares, { below, count: end - from });
    }
    for (let row = end - 1; row >= from; row--) {
      for (let below = row + 1; below < end; below++) {
        subtractRow(rows, (row - from) * size, (below - from) * size, {
          share: shares[(row - from) * size + below]!,
          from: below,
          size,
        });
      }
    }
    matrix.set(rows.subarray(0, (end - from) * size), from * size);
  }
}

/** Takes up to a panel of finished rows, from `below` on, from the `count` rows at work. */
function takeBelow(
  matrix: Float64Array,
  update: RowUpdate,
  shares: Float64Array,
  { below, count }: { readonly below: number; readonly count: number },
): void {
  const { width: size, factor, errors } = update;
  const end = Math.min(below + PANEL, size);
  factor.fill(0);
  factor.set(matrix.subarray(below * size, end * size));
  for (let row = 0; row < count; row++) {
    const own = errors.subarray(row * PANEL, (row + 1) * PANEL);
    own.fill(0);
    own.set(shares.subarray(row * size + below, row * size + end));
    update.subtract(row, below, size);
  }
}

function subtractRow(
  rows: Float64Array,
  to: number,
  other: number,
  { share, from, size }: { readonly share: number; readonly from: number; readonly size: number },
): void {
  for (let column = from; column < size; column++) {
    rows[to + column] = rows[to + column]! - share * rows[other + column]!;
  }
}
