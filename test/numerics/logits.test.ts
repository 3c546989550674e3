import { describe, expect, test } from 'vitest';
import {
  argmaxRows,
  klDivergences,
  logSumExp,
  negativeLogLikelihoods,
  perplexity,
  top1Agreement,
} from '../../src/numerics/logits.ts';

describe('Logits', () => {
  test('sum in the log domain without overflow.', () => {
    expect(logSumExp([1000, 1000])).toBeCloseTo(1000 + Math.LN2, 12);
    expect(logSumExp([-Infinity, 3])).toBe(3);
    expect(logSumExp([-Infinity])).toBe(-Infinity);
  });

  test('KL of (1/2, 1/2) to (1/4, 3/4) is ln(4/3)/2 nats, whatever is added to a row.', () => {
    const reference = Float32Array.of(7, 7, 0, 0);
    const candidate = Float32Array.of(0, Math.log(3), 5, 5);
    const divergences = klDivergences(reference, candidate, 2);
    // float32 logits carry 24 bits.
    expect(divergences[0]).toBeCloseTo(Math.log(4 / 3) / 2, 6);
    expect(divergences[1]).toBeCloseTo(0, 12);
  });

  test('KL leaves out classes that the reference excludes and is infinite when the candidate excludes more.', () => {
    const masked = Float32Array.of(0, -Infinity);
    expect(klDivergences(masked, masked, 2)[0]).toBe(0);
    expect(klDivergences(Float32Array.of(0, 0), masked, 2)[0]).toBe(Infinity);
  });

  test('argmax takes the first of equals and never NaN.', () => {
    const logits = Float32Array.of(1, 3, 3, NaN, -1, -2, NaN, NaN, NaN, -Infinity, -Infinity, NaN);
    expect([...argmaxRows(logits, 3)]).toEqual([1, 1, -1, 0]);
  });

  test('top-1 agreement is the share of equal classes; -1 agrees with nothing.', () => {
    expect(top1Agreement([1, 2, 3, 4], [1, 2, 0, 0])).toBe(0.5);
    expect(top1Agreement([-1, 2], [-1, 2])).toBe(0.5);
  });

  test('perplexity of uniform logits is the number of classes; padding is left out.', () => {
    const likelihoods = negativeLogLikelihoods(new Float32Array(12), 4, [0, -100, 3]);
    expect([...likelihoods]).toEqual([Math.log(4), NaN, Math.log(4)]);
    expect(perplexity(likelihoods)).toBeCloseTo(4, 12);
  });

  test('rows must be whole.', () => {
    expect(() => argmaxRows(new Float32Array(5), 2)).toThrow('got 5 of 2 classes');
  });
});
