import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  float16ArrayToFloat32,
  float16ToFloat32,
  float32ArrayToFloat16,
  float32ToFloat16,
  roundToFloat16,
} from '../../src/numerics/float16.ts';

const ALL_PATTERNS = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const isNaN16 = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;

describe('float16', () => {
  test.each([
    [0x0000, 0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x7bff, 65504],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
    [0x3555, 0.333251953125],
  ])('The pattern %i is %d.', (bits, value) => {
    expect(float16ToFloat32(bits)).toBe(value);
    expect(float32ToFloat16(value)).toBe(bits);
  });

  test('Every pattern that is not NaN survives widening and narrowing, negative zero included.', () => {
    for (const bits of ALL_PATTERNS) {
      const value = float16ToFloat32(bits);
      if (isNaN16(bits)) {
        expect(value).toBeNaN();
        expect(isNaN16(float32ToFloat16(value))).toBe(true);
      } else if (float32ToFloat16(value) !== bits) {
        expect.fail(`pattern ${bits} came back as ${float32ToFloat16(value)}`);
      }
    }
  });

  test('The array forms give what the scalar forms give, on all patterns.', () => {
    const wide = float16ArrayToFloat32(ALL_PATTERNS);
    expect(wide).toEqual(Float32Array.from(ALL_PATTERNS, float16ToFloat32));
    const narrow = float32ArrayToFloat16(wide);
    expect(narrow).toEqual(Uint16Array.from(wide, float32ToFloat16));
  });

  test.each([
    [2049, 2048],
    [2051, 2052],
    [2050.9, 2050],
    [65519.996, 65504],
    [65520, Infinity],
    [2 ** -25, 0],
    [2 ** -25 * 1.001, 2 ** -24],
    [1.5 * 2 ** -24, 2 ** -23],
    [2 ** -14 - 2 ** -26, 2 ** -14],
    [-1e-9, -0],
  ])('%d rounds to %d: nearest, ties to even.', (value, expected) => {
    expect(float16ToFloat32(float32ToFloat16(value))).toBe(expected);
  });

  test('Rounding a float64 rounds once: just above a tie it goes up, where float32 would see the tie.', () => {
    const aboveTie = 1 + 2 ** -11 + 2 ** -40;
    expect(Math.fround(aboveTie)).toBe(1 + 2 ** -11);
    expect(roundToFloat16(aboveTie)).toBe(1 + 2 ** -10);
    expect(float16ToFloat32(float32ToFloat16(aboveTie))).toBe(1);
  });

  test('For float32 values the two roundings agree.', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) => {
        expect(roundToFloat16(value) + 0).toBe(float16ToFloat32(float32ToFloat16(value)) + 0);
      }),
      { numRuns: 5000 },
    );
  });
});
