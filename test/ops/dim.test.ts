import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Dim } from '../../src/ir/model.ts';
import {
  addDims,
  divideDims,
  multiplyDims,
  productOfDims,
  subtractDims,
} from '../../src/ops/dim.ts';

/** Puts numbers in for symbols. The printed form is also JavaScript, which makes an independent reading. */
function evaluate(dim: Dim, symbols: Readonly<Record<string, number>>): number {
  if (typeof dim !== 'string') return dim ?? NaN;
  return Function(...Object.keys(symbols), `return ${dim}`)(...Object.values(symbols));
}

const dims = fc.oneof(fc.nat(9), fc.constantFrom('batch', 'past', 'sequence'));
const sums = fc
  .array(dims, { minLength: 1, maxLength: 3 })
  .map((list) => list.reduce<Dim>(addDims, 0));
const symbols = fc.record({
  batch: fc.integer({ min: 1, max: 9 }),
  past: fc.nat(9),
  sequence: fc.nat(9),
});

describe('dimension arithmetic', () => {
  it.each([
    ['past + sequence', addDims('sequence', 'past')],
    ['2*batch', addDims('batch', 'batch')],
    ['batch', subtractDims(addDims('batch', 3), 3)],
    ['4*batch*heads', multiplyDims(multiplyDims('heads', 2), multiplyDims('batch', 2))],
    ['sequence', divideDims('batch*sequence', 'batch')],
    [3, divideDims(multiplyDims('batch', 6), multiplyDims(2, 'batch'))],
    [2, divideDims('2*past + 2*sequence', 'past + sequence')],
    ['past - 1', subtractDims('past', 1)],
    [0, subtractDims('past', 'past')],
  ])('gives %s', (expected, actual) => {
    expect(actual).toBe(expected);
  });

  it('does not divide where a remainder is possible', () => {
    expect(divideDims('sequence', 2)).toBeUndefined();
    expect(divideDims(7, 2)).toBeUndefined();
    expect(divideDims('past + sequence', 'past')).toBeUndefined();
    expect(divideDims('past', 0)).toBeUndefined();
  });

  it('leaves a symbol alone that is no sum of products', () => {
    expect(addDims('floor(height/14)', 1)).toBe('floor(height/14) + 1');
    expect(multiplyDims('(a/2) % 3', 1)).toBe('(a/2) % 3');
  });

  it('multiplies zero to zero, whatever the rest', () => {
    expect(productOfDims(['batch', undefined, 0])).toBe(0);
    expect(productOfDims(['batch', undefined])).toBeUndefined();
  });

  it('computes what the numbers would', () => {
    fc.assert(
      fc.property(sums, sums, symbols, (a, b, values) => {
        const [x, y] = [evaluate(a, values), evaluate(b, values)];
        for (const [result, expected] of [
          [addDims(a, b), x + y],
          [subtractDims(a, b), x - y],
          [multiplyDims(a, b), x * y],
          [divideDims(multiplyDims(a, b), b), y === 0 ? NaN : x],
        ] as const) {
          if (result !== undefined && !Number.isNaN(expected)) {
            // Adding 0 makes -0, which is no dimension, the 0 that it means.
            expect(evaluate(result, values) + 0).toBe(expected + 0);
          }
        }
      }),
    );
  });
});
