import { describe, expect, test } from 'vitest';
import {
  addSimilarities,
  compareArrays,
  cosine,
  EMPTY_SIMILARITY,
  meanAbsoluteError,
  sqnrDecibels,
} from '../../src/numerics/similarity.ts';

describe('Similarity', () => {
  test('of 3,4 and 4,3 has cosine 0.96, SQNR 10 log10(25/2) and errors of 1.', () => {
    const similarity = compareArrays([3, 4], [4, 3]);
    expect(cosine(similarity)).toBeCloseTo(0.96, 15);
    expect(sqnrDecibels(similarity)).toBeCloseTo(10.969, 3);
    expect(similarity.maxAbsoluteError).toBe(1);
    expect(meanAbsoluteError(similarity)).toBe(1);
  });

  test('of equal arrays is perfect, of opposite ones -1.', () => {
    const same = compareArrays([1, -2], [1, -2]);
    expect(cosine(same)).toBeCloseTo(1, 15);
    expect(sqnrDecibels(same)).toBe(Infinity);
    expect(cosine(compareArrays([1, -2], [-1, 2]))).toBeCloseTo(-1, 15);
  });

  test('knows zeros: both zero is 1, one of them zero is 0.', () => {
    expect(cosine(compareArrays([0], [0]))).toBe(1);
    expect(cosine(compareArrays([0], [1]))).toBe(0);
    expect(sqnrDecibels(compareArrays([0], [1]))).toBe(-Infinity);
  });

  test('does not overflow on values near the largest float32.', () => {
    const huge = Float32Array.of(3e38, 3e38);
    expect(cosine(compareArrays(huge, huge))).toBeCloseTo(1, 15);
  });

  test('counts NaN and infinity apart.', () => {
    const similarity = compareArrays([1, NaN, Infinity, 2], [1, 1, Infinity, NaN]);
    expect(similarity).toMatchObject({ count: 1, nonFiniteCount: 3, errorSquares: 0 });
  });

  test('adds up over samples, starting from nothing.', () => {
    const parts = [compareArrays([1, 2], [1, 3]), compareArrays([4], [6])];
    expect(parts.reduce(addSimilarities, EMPTY_SIMILARITY)).toEqual(
      compareArrays([1, 2, 4], [1, 3, 6]),
    );
  });

  test('refuses arrays of different lengths.', () => {
    expect(() => compareArrays([1], [])).toThrow('got 1 and 0');
  });
});
