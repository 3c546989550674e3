import { expect, it } from 'vitest';
import { factorCholesky, solveRows } from '../../../src/numerics/cholesky.ts';
import { type Matrix, multiplyHere } from '../../../src/numerics/matrix.ts';
import { createRandom } from '../../../src/numerics/random.ts';
import { openMatrixProduct } from '../../../src/runners/onnxruntime/matrix-product.ts';

function integers(rows: number, columns: number, seed: number): Matrix {
  const random = createRandom(seed);
  const values = Float64Array.from({ length: rows * columns }, () =>
    Math.round(1000 * random.normal()),
  );
  return { rows, columns, values };
}

it('products of whole numbers are those made here, exactly', async () => {
  const product = await openMatrixProduct();
  // The smaller is made here, the larger in onnxruntime.
  for (const [rows, columns, depth] of [
    [3, 4, 5],
    [150, 90, 130],
  ] as const) {
    const [left, right] = [integers(rows, depth, 1), integers(columns, depth, 2)];
    expect(await product.multiply(left, right)).toEqual(await multiplyHere(left, right));
  }
  await product.close();
});

it('a system of equations is solved by them', async () => {
  const product = await openMatrixProduct();
  const size = 400;
  const x = integers(size, size + 50, 3);
  const matrix = await product.multiply(x, x);
  const rows = integers(130, size, 4);
  const factor = await factorCholesky(
    { ...matrix, values: matrix.values.slice() },
    product.multiply,
  );
  const solved = await solveRows(factor!, rows, product.multiply);
  const back = await product.multiply(solved, matrix);
  await product.close();
  const error = back.values.reduce(
    (most, value, index) => Math.max(most, Math.abs(value - rows.values[index]!)),
    0,
  );
  // Entries reach 4e3; the condition number is some 1e3.
  expect(error).toBeLessThan(1e-6);
});
