import { describe, expect, it } from 'vitest';
import { factorCholesky, inverseRoot, solveRows } from '../../src/numerics/cholesky.ts';
import {
  type Matrix,
  multiplyHere,
  subtractProduct,
  transpose,
} from '../../src/numerics/matrix.ts';
import { createRandom } from '../../src/numerics/random.ts';

function randomMatrix(rows: number, columns: number, seed: number): Matrix {
  const random = createRandom(seed);
  const values = Float64Array.from({ length: rows * columns }, () => random.normal());
  return { rows, columns, values };
}

/** X * transpose(X) + ridge on the diagonal: positive definite. */
async function definite(size: number, seed: number, ridge = 1): Promise<Matrix> {
  const x = randomMatrix(size, size + 7, seed);
  const gram = await multiplyHere(x, x);
  for (let index = 0; index < size; index++) gram.values[index * (size + 1)]! += ridge;
  return gram;
}

function copy(matrix: Matrix): Matrix {
  return { ...matrix, values: matrix.values.slice() };
}

function largestDifference(a: Matrix, b: Matrix): number {
  expect([a.rows, a.columns]).toEqual([b.rows, b.columns]);
  return a.values.reduce(
    (most, value, index) => Math.max(most, Math.abs(value - b.values[index]!)),
    0,
  );
}

describe('factorCholesky', () => {
  it('gives the factor that is worked out by hand', async () => {
    const matrix: Matrix = {
      rows: 3,
      columns: 3,
      values: Float64Array.of(4, 9, 9, 2, 10, 9, 6, 6, 14),
    };
    const factor = await factorCholesky(matrix, multiplyHere);
    const { values } = factor!.lower;
    expect([values[0], values[3], values[4], values[6], values[7], values[8]]).toEqual([
      2, 1, 3, 3, 1, 2,
    ]);
  });

  // One block, exactly two, two and a part, more than a strip of blocks.
  it.each([1, 5, 128, 256, 300, 520])(
    'and its transpose give a matrix of %i back',
    async (size) => {
      const matrix = await definite(size, size);
      const factor = await factorCholesky(copy(matrix), multiplyHere);
      const lower = copy(factor!.lower);
      for (let row = 0; row < size; row++)
        lower.values.fill(0, row * size + row + 1, (row + 1) * size);
      // Float64: some thousand roundings of 1e-16 of entries up to 1e3.
      expect(largestDifference(await multiplyHere(lower, lower), matrix)).toBeLessThan(1e-9);
    },
  );

  it('refuses what is not positive definite, in the first block and in a later one', async () => {
    for (const place of [0, 200]) {
      const matrix = await definite(300, 3);
      matrix.values[place * 301] = -1;
      expect(await factorCholesky(matrix, multiplyHere)).toBeUndefined();
    }
    const infinite = await definite(4, 4);
    infinite.values[5] = Number.POSITIVE_INFINITY;
    expect(await factorCholesky(infinite, multiplyHere)).toBeUndefined();
    const undefinedNumber = await definite(4, 4);
    undefinedNumber.values[5] = Number.NaN;
    expect(await factorCholesky(undefinedNumber, multiplyHere)).toBeUndefined();
  });
});

describe('what a factor solves', () => {
  it.each([3, 128, 300])('rows times the inverse, at %i', async (size) => {
    const matrix = await definite(size, 11);
    const rows = randomMatrix(5, size, 12);
    const factor = (await factorCholesky(copy(matrix), multiplyHere))!;
    const before = rows.values.slice();
    const solved = await solveRows(factor, rows, multiplyHere);
    expect(rows.values).toEqual(before);
    // The matrix is symmetric, so that times its transpose is times itself.
    expect(largestDifference(await multiplyHere(solved, matrix), rows)).toBeLessThan(1e-9);
  });

  it.each([3, 128, 300])('the inverse itself as a product of roots, at %i', async (size) => {
    const matrix = await definite(size, 21);
    const factor = (await factorCholesky(copy(matrix), multiplyHere))!;
    const root = await inverseRoot(factor, multiplyHere);
    for (let row = 0; row < size; row++) {
      expect(root.values.subarray(row * size, row * size + row).every((value) => value === 0)).toBe(
        true,
      );
    }
    const inverse = await multiplyHere(root, root);
    const unit = await multiplyHere(inverse, matrix);
    for (let index = 0; index < size; index++) unit.values[index * (size + 1)]! -= 1;
    expect(Math.max(...unit.values.map(Math.abs))).toBeLessThan(1e-9);
  });
});

it('a product takes the transpose of its right side', async () => {
  const left: Matrix = { rows: 1, columns: 2, values: Float64Array.of(1, 2) };
  const right: Matrix = { rows: 3, columns: 2, values: Float64Array.of(1, 0, 0, 1, 3, 4) };
  expect((await multiplyHere(left, right)).values).toEqual(Float64Array.of(1, 2, 11));
  expect(transpose(right).values).toEqual(Float64Array.of(1, 0, 3, 0, 1, 4));
});

it('a product is taken away in place, with any number of columns', async () => {
  for (const depth of [1, 4, 7]) {
    const left = randomMatrix(5, depth, 31);
    const right = randomMatrix(depth, 6, 32);
    const target = randomMatrix(5, 6, 33);
    const product = await multiplyHere(left, transpose(right));
    const expected = target.values.map((value, index) => value - product.values[index]!);
    subtractProduct(target, left, right);
    // Sums of up to seven products, in another order.
    expect(largestDifference(target, { ...target, values: expected })).toBeLessThan(1e-14);
  }
});
