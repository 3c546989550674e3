import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { auto, chooseBest } from '../../../src/calibrate/ranges/auto.ts';
import { entropy, entropyBins } from '../../../src/calibrate/ranges/entropy.ts';
import {
  histogramEnergy,
  quantizationError,
} from '../../../src/calibrate/ranges/histogram-error.ts';
import {
  chooseRange,
  findRangeMethod,
  RANGE_METHODS,
} from '../../../src/calibrate/ranges/index.ts';
import { minmax } from '../../../src/calibrate/ranges/minmax.ts';
import { mse } from '../../../src/calibrate/ranges/mse.ts';
import { createPercentile, percentile } from '../../../src/calibrate/ranges/percentile.ts';
import type { RangeMethod } from '../../../src/calibrate/ranges/range-method.ts';
import {
  emptyStatistics,
  observe,
  type TensorStatistics,
} from '../../../src/calibrate/statistics.ts';
import { UsageError } from '../../../src/errors.ts';
import {
  type AffineScheme,
  chooseScale,
  createQuantizedArray,
  dequantize,
  integerRange,
  quantize,
  representableRange,
} from '../../../src/numerics/affine.ts';
import { createRandom, type Random } from '../../../src/numerics/random.ts';
import { compareArrays, sqnrDecibels } from '../../../src/numerics/similarity.ts';

// Large sums, checked for many seeds: seconds on busy cores.
vi.setConfig({ testTimeout: 60_000 });

const INT8: AffineScheme = { dataType: 'int8', symmetric: true };
const UINT8: AffineScheme = { dataType: 'uint8', symmetric: false };

function statisticsOf(values: Float32Array): TensorStatistics {
  return observe(emptyStatistics(), values);
}

/** SQNR of really quantizing the values, not of their histogram. */
function measuredSqnr(values: Float32Array, method: RangeMethod, scheme: AffineScheme): number {
  const parameters = chooseScale(method.choose(statisticsOf(values), scheme), scheme);
  const integers = quantize(
    values,
    parameters,
    integerRange(scheme),
    createQuantizedArray(scheme.dataType, values.length),
  );
  return sqnrDecibels(compareArrays(values, dequantize(integers, parameters)));
}

/** Student's t with 3 degrees of freedom: the tails of transformer activations. */
function studentT(random: Random): number {
  const chi = random.normal() ** 2 + random.normal() ** 2 + random.normal() ** 2;
  return random.normal() / Math.sqrt(chi / 3);
}

describe.each(RANGE_METHODS)('$name', (method) => {
  test('gives a range inside the values seen, in order, for any values and both schemes.', () => {
    const value = fc.float({ noNaN: true, min: -1e6, max: 1e6 });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 60 }), (list) => {
        for (const scheme of [INT8, UINT8]) {
          const { min, max } = method.choose(statisticsOf(Float32Array.from(list)), scheme);
          expect(min).toBeLessThanOrEqual(max);
          expect(min).toBeGreaterThanOrEqual(Math.min(...list));
          expect(max).toBeLessThanOrEqual(Math.max(...list));
        }
      }),
      { numRuns: 15 },
    );
  });

  test('gives 0..0 for no values and for zeros.', () => {
    for (const scheme of [INT8, UINT8]) {
      expect(method.choose(emptyStatistics(), scheme)).toEqual({ min: 0, max: 0 });
      expect(method.choose(statisticsOf(new Float32Array(5)), scheme)).toEqual({ min: 0, max: 0 });
    }
  });
});

describe('percentile', () => {
  const ramp = Float32Array.from({ length: 10001 }, (_, index) => index / 100 - 20);

  test('cuts half on either side when asymmetric and the largest magnitudes when symmetric.', () => {
    const statistics = statisticsOf(ramp);
    const both = createPercentile(90).choose(statistics, UINT8);
    // -20..80 in bins of 128 / 2048: a position is right to a small part of a bin.
    expect(both.min).toBeCloseTo(-15, 1);
    expect(both.max).toBeCloseTo(75, 1);
    expect(createPercentile(90).choose(statistics, INT8).max).toBeCloseTo(70, 1);
  });

  test('of 100 is minmax.', () => {
    const statistics = statisticsOf(ramp);
    for (const scheme of [INT8, UINT8]) {
      expect(createPercentile(100).choose(statistics, scheme)).toEqual(
        minmax.choose(statistics, scheme),
      );
    }
  });

  test('of 99.99 drops one outlier in 100,000 values.', () => {
    const random = createRandom(1);
    const values = Float32Array.from({ length: 100000 }, random.normal);
    values[7] = 50;
    expect(percentile.choose(statisticsOf(values), INT8).max).toBeLessThan(5);
    expect(percentile.choose(statisticsOf(values), UINT8).max).toBeLessThan(5);
  });
});

/** The method as its description reads, bin by bin, without prefix sums. */
function slowEntropyBins(counts: readonly number[], levels: number): number {
  const histogram = counts.slice(0, counts.findLastIndex((count) => count > 0) + 1);
  if (histogram.length <= levels) return histogram.length;
  histogram[0] = histogram[1]!;
  const divergences = new Map<number, number>();
  for (let kept = histogram.length; kept >= levels; kept--) {
    const inside = histogram.slice(0, kept);
    const p = [...inside];
    p[kept - 1]! += histogram.slice(kept).reduce((sum, count) => sum + count, 0);
    const q = new Array<number>(kept).fill(0);
    for (let level = 0; level < levels; level++) {
      const from = Math.floor((level * kept) / levels);
      const to = Math.floor(((level + 1) * kept) / levels);
      const sum = inside.slice(from, to).reduce((total, count) => total + count, 0);
      const bins = p.slice(from, to).filter((count) => count > 0).length;
      for (let bin = from; bin < to; bin++) if (p[bin]! > 0) q[bin] = sum / bins;
    }
    const pSum = p.reduce((sum, count) => sum + count, 0);
    const qSum = q.reduce((sum, count) => sum + count, 0);
    let divergence = 0;
    p.forEach((count, bin) => {
      if (count > 0) divergence += (count / pSum) * Math.log(count / pSum / (q[bin]! / qSum));
    });
    divergences.set(kept, divergence);
  }
  const least = Math.min(...divergences.values());
  // Where two candidates are equal but for rounding, the larger: the order of insertion.
  return [...divergences].find(([, divergence]) => divergence <= least + 1e-12)![0];
}

describe('entropy', () => {
  test('chooses what the plain definition chooses.', () => {
    const random = createRandom(9);
    for (let trial = 0; trial < 40; trial++) {
      const counts = Array.from({ length: 40 + random.integer(120) }, (_, bin) =>
        Math.floor(1000 * Math.exp(-bin / (5 + trial)) * random.uniform() + random.uniform() * 1.2),
      );
      expect(entropyBins(Float64Array.from(counts), 16)).toBe(slowEntropyBins(counts, 16));
    }
  });

  test('clips a long thin tail and keeps a uniform distribution whole.', () => {
    const random = createRandom(2);
    const normal = Float32Array.from({ length: 200000 }, random.normal);
    normal[0] = 40;
    expect(entropy.choose(statisticsOf(normal), INT8).max).toBeLessThan(8);
    const uniform = Float32Array.from({ length: 200000 }, () => 2 * random.uniform() - 1);
    expect(entropy.choose(statisticsOf(uniform), INT8).max).toBeGreaterThan(0.95);
  });

  test('is not misled by a pile of exact zeros.', () => {
    const random = createRandom(3);
    const dense = Float32Array.from({ length: 50000 }, random.normal);
    const sparse = new Float32Array(500000);
    sparse.set(dense);
    const limit = entropy.choose(statisticsOf(dense), INT8).max;
    expect(entropy.choose(statisticsOf(sparse), INT8).max).toBeGreaterThan(limit * 0.9);
  });
});

describe('The error on a histogram', () => {
  test('is near the error of really quantizing the values.', () => {
    const random = createRandom(4);
    const values = Float32Array.from({ length: 100000 }, () => random.normal() * 3 + 1);
    const statistics = statisticsOf(values);
    for (const scheme of [INT8, UINT8]) {
      for (const limit of [3, 8, 20]) {
        const parameters = chooseScale({ min: -limit, max: limit }, scheme);
        const into = createQuantizedArray(scheme.dataType, values.length);
        const integers = quantize(values, parameters, integerRange(scheme), into);
        const exact = compareArrays(values, dequantize(integers, parameters)).errorSquares;
        const reach = representableRange(parameters, scheme);
        const estimate = quantizationError(statistics.histogram, parameters, reach);
        // Values are not quite even inside a bin; 2 % is a tenth of a dB.
        expect(Math.abs(estimate / exact - 1)).toBeLessThan(0.02);
      }
    }
    const energy = values.reduce((sum, value) => sum + value * value, 0);
    expect(Math.abs(histogramEnergy(statistics.histogram) / energy - 1)).toBeLessThan(0.001);
  });
});

describe('mse and auto', () => {
  test('gain 10 dB over minmax on Student-t(3) data with one outlier of 200 deviations.', () => {
    const random = createRandom(5);
    const values = Float32Array.from({ length: 2 ** 22 }, () => studentT(random));
    values[12345] = 200 * Math.sqrt(3);
    const reference = measuredSqnr(values, minmax, INT8);
    expect(measuredSqnr(values, mse, INT8)).toBeGreaterThan(reference + 10);
    expect(measuredSqnr(values, auto, INT8)).toBeGreaterThan(reference + 10);
  });

  test('lose nothing where minmax is right: uniform values.', () => {
    const random = createRandom(6);
    const values = Float32Array.from({ length: 100000 }, () => 3 * random.uniform() - 1);
    for (const scheme of [INT8, UINT8]) {
      const reference = measuredSqnr(values, minmax, scheme);
      // The histogram sees the last bins as full up to their edge.
      expect(measuredSqnr(values, mse, scheme)).toBeGreaterThan(reference - 0.1);
      expect(measuredSqnr(values, auto, scheme)).toBeGreaterThan(reference - 0.1);
    }
  });

  test('clip the two ends of skewed values apart.', () => {
    const random = createRandom(7);
    const values = Float32Array.from({ length: 400000 }, () => random.normal() ** 2 - 0.2);
    values[3] = 120;
    const { min, max } = mse.choose(statisticsOf(values), UINT8);
    // The step is 0.3, so -0.2 is within one integer of zero.
    expect(min).toBeLessThan(0);
    // (120 - t)^2 + 400,000 t^2 / (12 * 255^2) is least at t = 79.
    expect(max).toBeGreaterThan(70);
    expect(max).toBeLessThan(90);
    expect(measuredSqnr(values, mse, UINT8)).toBeGreaterThan(
      measuredSqnr(values, minmax, UINT8) + 1,
    );
  });

  test('auto is never worse on the histogram than any method, and says which one won.', () => {
    const random = createRandom(8);
    const values = Float32Array.from({ length: 50000 }, () => random.normal());
    values[1] = 30;
    const statistics = statisticsOf(values);
    const { method, range } = chooseBest(statistics, INT8);
    expect(chooseRange(statistics, INT8, 'auto')).toEqual({ method, ...range });
    expect(range).toEqual(findRangeMethod(method).choose(statistics, INT8));
    const best = measuredSqnr(values, auto, INT8);
    for (const other of RANGE_METHODS) {
      expect(best).toBeGreaterThan(measuredSqnr(values, other, INT8) - 0.1);
    }
  });
});

describe('Names of methods', () => {
  test('percentile takes its percent after a colon.', () => {
    expect(findRangeMethod('percentile:99.9').description).toContain('99.9 %');
    expect(findRangeMethod('mse')).toBe(mse);
  });

  test.each(['kl', 'percentile:40', 'percentile:101', 'percentile:'])(
    '"%s" is refused with the names there are.',
    (name) => {
      expect(() => findRangeMethod(name)).toThrow(UsageError);
      expect(() => findRangeMethod(name)).toThrow(
        'expected minmax, percentile, entropy, mse, auto',
      );
    },
  );
});
