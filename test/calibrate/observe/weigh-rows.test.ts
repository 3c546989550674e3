import { expect, test } from 'vitest';
import { weighRows } from '../../../src/calibrate/observe/gram-accumulator.ts';

test('A row whose square passes four times the median is scaled down to that; others stay.', () => {
  // Squares 1, 4, 25 of width 2: the median is 4, so 25 is scaled to 16 and the rest is left alone.
  const capped = weighRows(Float32Array.of(1, 0, 0, 2, 3, 4), 2, true);
  expect([...capped.subarray(0, 4)]).toEqual([1, 0, 0, 2]);
  expect(capped[4]).toBeCloseTo((3 * 4) / 5, 6);
  expect(capped[5]).toBeCloseTo((4 * 4) / 5, 6);
});

test('One row, equal rows and mostly silent rows stay as they are.', () => {
  for (const values of [
    [3, 4],
    [1, 1, 1, 1],
    [0, 0, 0, 0, 9, 9],
  ]) {
    const rows = Float32Array.from(values);
    expect(weighRows(rows, 2, true)).toEqual(rows);
  }
});

test('A row that is not finite counts as zeros, and the others are what they are without it.', () => {
  const rows = Float32Array.of(1, 0, Number.NaN, 2, 3, Number.POSITIVE_INFINITY, 5, 1);
  expect([...weighRows(rows, 2, false)]).toEqual([1, 0, 0, 0, 0, 0, 5, 1]);
  const same = Float32Array.of(1, 0, 500, 1);
  expect(weighRows(same, 2, false)).toBe(same);
});
