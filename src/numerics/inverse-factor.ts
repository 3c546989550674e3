/**
 * Returns the upper triangular U with `inverse(gram + ridge * I) = transpose(U) * U`, row-major float64,
 * for a symmetric matrix `size` x `size` of which the lower triangle is not read. Or undefined when the
 * sum is not positive definite in float64.
 *
 * With gram + ridge * I = R * transpose(R), R upper triangular (Cholesky from the last column on),
 * U is the inverse of R: one factorisation and one triangular inverse, both along rows.
 */
export function inverseFactor(
  gram: ArrayLike<number>,
  size: number,
  ridge: number,
): Float64Array | undefined {
  const matrix = triangularFactor(gram, size, ridge);
  if (matrix !== undefined) invertInPlace(matrix, size);
  return matrix;
}

/**
 * Returns the upper triangular R with `gram + ridge * I = R * transpose(R)`, row-major float64, for a symmetric matrix of
 * which the lower triangle is not read; undefined when the sum is not positive definite in float64.
 */
function triangularFactor(
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
  return factorInPlace(matrix, size) ? matrix : undefined;
}

/** Columns or rows worked on together, so that the matrix is read once for all of them. */
const PANEL = 32;

/** Turns the upper triangle to R. False when a pivot is not positive. */
function factorInPlace(matrix: Float64Array, size: number): boolean {
  for (let end = size; end > 0; end -= PANEL) {
    const from = Math.max(0, end - PANEL);
    for (let row = 0; row < end; row++) {
      const start = row * size;
      for (let column = Math.max(row, from); column < end; column += 4) {
        subtractDots(matrix, start, column, Math.min(4, end - column), end, size);
      }
    }
    if (!factorPanel(matrix, size, from, end)) return false;
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

/** Takes from `count` <= 4 elements of a row, `column` on, its dot product with the rows of their columns. */
function subtractDots(
  matrix: Float64Array,
  start: number,
  column: number,
  count: number,
  from: number,
  size: number,
): void {
  if (count < 4) {
    for (let next = column; next < column + count; next++) {
      matrix[start + next] = matrix[start + next]! - dot(matrix, start, next * size, from, size);
    }
    return;
  }
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  const other = column * size;
  for (let index = from; index < size; index++) {
    const own = matrix[start + index]!;
    s0 += own * matrix[other + index]!;
    s1 += own * matrix[other + size + index]!;
    s2 += own * matrix[other + 2 * size + index]!;
    s3 += own * matrix[other + 3 * size + index]!;
  }
  matrix[start + column] = matrix[start + column]! - s0;
  matrix[start + column + 1] = matrix[start + column + 1]! - s1;
  matrix[start + column + 2] = matrix[start + column + 2]! - s2;
  matrix[start + column + 3] = matrix[start + column + 3]! - s3;
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
function invertInPlace(matrix: Float64Array, size: number): void {
  const factors = new Float64Array(PANEL * size);
  for (let end = size; end > 0; end -= PANEL) {
    const from = Math.max(0, end - PANEL);
    for (let row = from; row < end; row++) takeFactors(matrix, size, row, factors, row - from);
    for (let below = end; below < size; below += 4) {
      for (let row = from; row < end; row++) {
        addRows(matrix, row * size, below, factors, (row - from) * size, size);
      }
    }
    for (let row = end - 1; row >= from; row--) {
      for (let below = row + 1; below < end; below++) {
        addRow(
          matrix,
          row * size,
          below * size,
          factors[(row - from) * size + below]!,
          below,
          size,
        );
      }
    }
  }
}

/** Moves a row of R, over its negative pivot, to `factors`; leaves the pivot's inverse. */
function takeFactors(
  matrix: Float64Array,
  size: number,
  row: number,
  factors: Float64Array,
  place: number,
): void {
  const start = row * size;
  const pivot = matrix[start + row]!;
  for (let column = row + 1; column < size; column++) {
    factors[place * size + column] = matrix[start + column]! / -pivot;
    matrix[start + column] = 0;
  }
  matrix[start + row] = 1 / pivot;
}

/** Adds the rows `below` to `below + 3`, times their factors, to the row at `to`. */
function addRows(
  matrix: Float64Array,
  to: number,
  below: number,
  factors: Float64Array,
  place: number,
  size: number,
): void {
  if (below + 4 > size) {
    for (let row = below; row < size; row++) {
      addRow(matrix, to, row * size, factors[place + row]!, row, size);
    }
    return;
  }
  const f0 = factors[place + below]!;
  const f1 = factors[place + below + 1]!;
  const f2 = factors[place + below + 2]!;
  const f3 = factors[place + below + 3]!;
  const source = below * size;
  // Left of their diagonal the rows are zero.
  for (let index = below; index < size; index++) {
    const added =
      f0 * matrix[source + index]! +
      f1 * matrix[source + size + index]! +
      (f2 * matrix[source + 2 * size + index]! + f3 * matrix[source + 3 * size + index]!);
    matrix[to + index] = matrix[to + index]! + added;
  }
}

/** `matrix[to + i] += factor * matrix[source + i]` for i in `[from, end)`. */
function addRow(
  matrix: Float64Array,
  to: number,
  source: number,
  factor: number,
  from: number,
  end: number,
): void {
  for (let index = from; index < end; index++) {
    matrix[to + index] = matrix[to + index]! + factor * matrix[source + index]!;
  }
}
