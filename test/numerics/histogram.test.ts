import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import {
  addToHistogram,
  binEdge,
  binWidth,
  emptyHistogram,
  foldHistogram,
  type Histogram,
  histogramTotal,
  mergeHistograms,
} from '../../src/numerics/histogram.ts';

// Large sums, checked for many seeds: seconds on busy cores.
vi.setConfig({ testTimeout: 60_000 });

function histogramOf(...values: number[]): Histogram {
  const array = Float32Array.from(values);
  return addToHistogram(emptyHistogram(), array, Math.max(0, ...array.map(Math.abs)));
}

function occupied(histogram: Histogram): Record<number, number> {
  return Object.fromEntries([...histogram.counts.entries()].filter(([, count]) => count > 0));
}

const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const lists = fc.array(finite, { maxLength: 40 });

describe('A histogram', () => {
  test('of values up to 1.5 spans -2..2 in bins of 1/1024.', () => {
    const histogram = histogramOf(1.5, -1.5, 0, -0, 0.0005, -0.0005);
    expect(histogram.exponent).toBe(1);
    expect(binWidth(histogram)).toBe(1 / 1024);
    expect(occupied(histogram)).toEqual({ 512: 1, 2047: 1, 2048: 3, 3584: 1 });
    expect(binEdge(histogram, 3584)).toBe(1.5);
    expect(binEdge(histogram, 512)).toBe(-1.5);
  });

  test.each([
    [1, 1],
    [0.99999994, 0],
    [2, 2],
    [3.4028234663852886e38, 128],
    [2 ** -126, -125],
    [2 ** -149, -126],
    [0, -126],
  ])(
    'of %d has the narrowest power of two that holds it strictly inside: 2^%d.',
    (value, exponent) => {
      expect(histogramOf(value).exponent).toBe(exponent);
      expect(histogramOf(-value).exponent).toBe(exponent);
      expect(histogramTotal(histogramOf(value))).toBe(1);
    },
  );

  test('that grows is the histogram that would have been made of all values at once.', () => {
    fc.assert(
      fc.property(lists, lists, (first, second) => {
        const merged = mergeHistograms(histogramOf(...first), histogramOf(...second));
        expect(merged).toEqual(histogramOf(...second, ...first));
        expect(mergeHistograms(histogramOf(...second), histogramOf(...first))).toEqual(merged);
        expect(histogramTotal(merged)).toBe(first.length + second.length);
      }),
      { numRuns: 300 },
    );
  });

  test('holds each value between the edges of its bin.', () => {
    fc.assert(
      fc.property(finite, (value) => {
        const histogram = histogramOf(value);
        const bin = histogram.counts.indexOf(1);
        expect(value).toBeGreaterThanOrEqual(binEdge(histogram, bin));
        expect(value).toBeLessThan(binEdge(histogram, bin + 1));
      }),
    );
  });

  test('folds to counts of magnitudes.', () => {
    const folded = foldHistogram(histogramOf(0.75, -0.7502, 0.25));
    expect(folded).toHaveLength(2048);
    expect([folded[1536], folded[512]]).toEqual([2, 1]);
  });
});
