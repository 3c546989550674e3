import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  EMPTY_SUM,
  type ExactSum,
  exactFrom,
  exactToNumber,
  formatExactSum,
  parseExactSum,
} from '../../src/numerics/exact-sum.ts';

const double = fc.double({ noNaN: true, noDefaultInfinity: true });

function sumOf(...values: number[]): ExactSum {
  return values.reduce((sum, value) => sum + exactFrom(value), EMPTY_SUM);
}

test('Nothing is lost where float64 would lose everything.', () => {
  expect(exactToNumber(sumOf(1e300, 1, -1e300))).toBe(1);
  expect(exactToNumber(sumOf(2 ** 53, 1, 1))).toBe(2 ** 53 + 2);
  expect(exactToNumber(sumOf(...Array<number>(10).fill(0.1)))).toBe(1);
});

test.each([
  [1, '0x1p0'],
  [-6, '-0x3p1'],
  [0, '0x0p0'],
  [0.1, '0xccccccccccccdp-55'],
  [5e-324, '0x1p-1074'],
  [1.7976931348623157e308, '0x1fffffffffffffp971'],
])('%d is written %s.', (value, text) => {
  expect(formatExactSum(exactFrom(value))).toBe(text);
  expect(parseExactSum(text)).toBe(exactFrom(value));
});

test.each(['', '1', '0x2p0', '0x1p-1075', '0x1p9999', '-0x0p0', '0x01p0', '0x1P0'])(
  'The text "%s" is no canonical sum.',
  (text) => {
    expect(parseExactSum(text)).toBeUndefined();
  },
);

test('A number comes back as it was, through text too.', () => {
  fc.assert(
    fc.property(double, (value) => {
      const sum = exactFrom(value);
      expect(exactToNumber(sum)).toBe(value + 0);
      expect(parseExactSum(formatExactSum(sum))).toBe(sum);
    }),
  );
});

test('The sum of two numbers rounds to what float64 addition gives.', () => {
  fc.assert(
    fc.property(double, double, (first, second) => {
      expect(exactToNumber(sumOf(first, second))).toBe(first + second + 0);
    }),
    { numRuns: 1000 },
  );
});

test('Ties round to even, with and without bits far below.', () => {
  expect(exactToNumber(sumOf(1, 2 ** -53))).toBe(1);
  expect(exactToNumber(sumOf(1, 2 ** -53, 2 ** -1000))).toBe(1 + 2 ** -52);
  expect(exactToNumber(sumOf(1 + 2 ** -52, 2 ** -53))).toBe(1 + 2 ** -51);
});

test('NaN and infinity are refused.', () => {
  expect(() => exactFrom(NaN)).toThrow('not finite (got NaN)');
  expect(() => exactFrom(-Infinity)).toThrow('not finite');
});
