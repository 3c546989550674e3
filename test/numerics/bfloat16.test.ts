import { expect, test } from 'vitest';
import {
  bfloat16ArrayToFloat32,
  bfloat16ToFloat32,
  float32ArrayToBfloat16,
  float32ToBfloat16,
} from '../../src/numerics/bfloat16.ts';

test.each([
  [0x3f80, 1],
  [0xc000, -2],
  [0x0001, 2 ** -133],
  [0x7f80, Infinity],
  [0x7f7f, 255 * 2 ** 120],
])('The pattern %i is %d.', (bits, value) => {
  expect(bfloat16ToFloat32(bits)).toBe(value);
  expect(float32ToBfloat16(value)).toBe(bits);
});

test('Ties go to even and the largest float32 overflows to infinity.', () => {
  expect(float32ToBfloat16(1 + 2 ** -8)).toBe(0x3f80);
  expect(float32ToBfloat16(1 + 3 * 2 ** -8)).toBe(0x3f82);
  expect(float32ToBfloat16(3.4028234663852886e38)).toBe(0x7f80);
});

test('Every pattern survives widening and narrowing; NaN stays NaN.', () => {
  const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
  const wide = bfloat16ArrayToFloat32(patterns);
  const narrow = float32ArrayToBfloat16(wide);
  const isNotNumber = (bits: number): boolean => (bits & 0x7fff) > 0x7f80;
  const changed = patterns.filter((bits) => narrow[bits] !== bits && !isNotNumber(bits));
  expect(changed).toEqual(new Uint16Array(0));
  expect(patterns.filter(isNotNumber).every((bits) => isNotNumber(narrow[bits]!))).toBe(true);
});
