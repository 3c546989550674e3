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
  const matrix = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const start = row * size;
    for (let column = row; column < size; column++) {
      matrix[start + column] = gram[start + column]!;
    }
    matrix[start + row] = matrix[start + row]! + ridge;
  }
  if (!factorInPlace(matrix, size)) return undefined;
  invertInPlace(matrix, size);
  return matrix;
}

/** Turns the upper triangle to R. False when a pivot is not positive. */
function factorInPlace(matrix: Float64Array, size: number): boolean {
  for (let column = size - 1; column >= 0; column--) {
    const own = column * size;
    const square = matrix[own + column]! - dot(matrix, own, own, column + 1, size);
    if (!(square > 0) || square === Number.POSITIVE_INFINITY) return false;
    const pivot = Math.sqrt(square);
    matrix[own + column] = pivot;
    for (let row = 0; row < column; row++) {
      const start = row * size;
      const sum = dot(matrix, start, own, column + 1, size);
      matrix[start + column] = (matrix[start + column]! - sum) / pivot;
    }
  }
  return true;
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

/** Rows below the current one hold the inverse already. */
function invertInPlace(matrix: Float64Array, size: number): void {
  const factors = new Float64Array(size);
  for (let row = size - 1; row >= 0; row--) {
    const start = row * size;
    const pivot = matrix[start + row]!;
    for (let column = row + 1; column < size; column++) {
      factors[column] = matrix[start + column]! / -pivot;
      matrix[start + column] = 0;
    }
    matrix[start + row] = 1 / pivot;
    for (let below = row + 1; below < size; below++) {
      const factor = factors[below]!;
      const source = below * size;
      for (let column = below; column < size; column++) {
        matrix[start + column] = matrix[start + column]! + factor * matrix[source + column]!;
      }
    }
  }
}
