import { expect, test } from 'vitest';
import { inverseFactor } from '../../src/numerics/inverse-factor.ts';

/** transpose(a) * a of a matrix whose rows are the same for the same seed. */
function gramOf(rows: number, size: number, seed: number): Float64Array {
  let state = seed;
  const a = Float64Array.from({ length: rows * size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  const gram = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      for (let row = 0; row < rows; row++)
        gram[i * size + j]! += a[row * size + i]! * a[row * size + j]!;
    }
  }
  return gram;
}

test('The factor of 4 * I is 1/2 * I.', () => {
  expect([...inverseFactor([3, 0, 0, 3], 2, 1)!]).toEqual([0.5, 0, 0, 0.5]);
});

test('transpose(U) * U is the inverse: times the matrix it gives I to 1e-10.', () => {
  const size = 37;
  const gram = gramOf(60, size, 7);
  const factor = inverseFactor(gram, size, 0.25)!;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      if (j < i) expect(factor[i * size + j]).toBe(0);
      let product = 0;
      for (let k = 0; k < size; k++) {
        let inverse = 0;
        for (let row = 0; row <= Math.min(i, k); row++) {
          inverse += factor[row * size + i]! * factor[row * size + k]!;
        }
        product += inverse * (gram[k * size + j]! + (k === j ? 0.25 : 0));
      }
      expect(product).toBeCloseTo(i === j ? 1 : 0, 10);
    }
  }
});

test('A matrix that is not positive definite, or not finite, has no factor.', () => {
  expect(inverseFactor([1, 2, 2, 1], 2, 0)).toBeUndefined();
  expect(inverseFactor([0, 0, 0, 0], 2, 0)).toBeUndefined();
  expect(inverseFactor([Number.NaN, 0, 0, 1], 2, 1)).toBeUndefined();
  expect(inverseFactor([Number.POSITIVE_INFINITY, 0, 0, 1], 2, 1)).toBeUndefined();
});
