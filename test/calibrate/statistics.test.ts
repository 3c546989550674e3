import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  emptyStatistics,
  mergeStatistics,
  observe,
  type TensorStatistics,
} from '../../src/calibrate/statistics.ts';
import { exactToNumber } from '../../src/numerics/exact-sum.ts';
import { histogramTotal } from '../../src/numerics/histogram.ts';
import { createRandom, shuffle } from '../../src/numerics/random.ts';

function statisticsOf(samples: readonly Float32Array[], channels?: number): TensorStatistics {
  return samples.reduce(observe, emptyStatistics(channels));
}

describe('Statistics', () => {
  test('of two samples hold what can be counted by hand.', () => {
    const statistics = statisticsOf([Float32Array.of(1, -2, 3), Float32Array.of(0.5)]);
    expect(statistics).toMatchObject({ sampleCount: 2, count: 4, min: -2, max: 3 });
    expect(exactToNumber(statistics.sum)).toBe(2.5);
    expect(exactToNumber(statistics.sumSquares)).toBe(14.25);
    expect(statistics.histogram.exponent).toBe(2);
    expect(histogramTotal(statistics.histogram)).toBe(4);
  });

  test('count NaN and infinities and leave them out of everything else.', () => {
    const statistics = observe(
      emptyStatistics(2),
      Float32Array.of(NaN, 1, Infinity, -1, -Infinity, NaN),
    );
    expect(statistics).toMatchObject({ count: 2, nanCount: 2, infinityCount: 2, min: -1, max: 1 });
    expect(exactToNumber(statistics.sum)).toBe(0);
    expect(histogramTotal(statistics.histogram)).toBe(2);
    expect(statistics.channels).toEqual({
      min: Float32Array.of(Infinity, -1),
      max: Float32Array.of(-Infinity, 1),
    });
  });

  test('of nothing but NaN, and of an empty tensor, know that they have seen no value.', () => {
    expect(observe(emptyStatistics(), Float32Array.of(NaN))).toMatchObject({
      sampleCount: 1,
      count: 0,
      nanCount: 1,
      min: Infinity,
      max: -Infinity,
    });
    expect(observe(emptyStatistics(), new Float32Array(0))).toMatchObject({
      sampleCount: 1,
      count: 0,
    });
  });

  test('do not tell -0 from 0.', () => {
    const zeros = statisticsOf([Float32Array.of(-0), Float32Array.of(0)], 1);
    expect(zeros).toEqual(statisticsOf([Float32Array.of(0), Float32Array.of(-0)], 1));
    expect(Object.is(zeros.min, 0)).toBe(true);
    expect(Object.is(zeros.channels?.max[0], 0)).toBe(true);
  });

  test('keep extremes of each channel of the last axis.', () => {
    const { channels } = statisticsOf([Float32Array.of(1, -5, 2, 7), Float32Array.of(-3, 0)], 2);
    expect(channels).toEqual({ min: Float32Array.of(-3, -5), max: Float32Array.of(2, 7) });
    expect(() => observe(emptyStatistics(2), new Float32Array(3))).toThrow(
      'got 3 values of 2 channels',
    );
  });

  test('leave the statistics they were made from as they were.', () => {
    const before = statisticsOf([Float32Array.of(1, 2)], 2);
    const copy = structuredClone(before);
    observe(before, Float32Array.of(100, -100));
    mergeStatistics(before, before);
    expect(before).toEqual(copy);
  });

  test('are the same to the bit for 1,000 random orders and splits of the samples.', () => {
    const random = createRandom(42);
    const samples = Array.from({ length: 12 }, (_, index) =>
      // Magnitudes from 1e-4 to 1e7, so that float64 sums in another order would differ.
      Float32Array.from({ length: 20 + index }, () => random.normal() * 10 ** (index - 4)),
    );
    const whole = statisticsOf(samples);
    for (let trial = 0; trial < 1000; trial++) {
      const shards: Float32Array[][] = Array.from({ length: 1 + random.integer(4) }, () => []);
      for (const sample of shuffle(samples, random)) {
        shards[random.integer(shards.length)]!.push(sample);
      }
      const merged = shuffle(shards, random)
        .map((shard) => statisticsOf(shard))
        .reduce(mergeStatistics, emptyStatistics());
      expect(merged.sum).toBe(whole.sum);
      expect(merged.sumSquares).toBe(whole.sumSquares);
      expect(merged.histogram.counts.every((n, bin) => n === whole.histogram.counts[bin])).toBe(
        true,
      );
      const plain = (s: TensorStatistics): unknown => ({ ...s, histogram: s.histogram.exponent });
      expect(plain(merged)).toEqual(plain(whole));
    }
  });

  test('merge associatively and commutatively, with nothing as identity, NaN and all.', () => {
    const sample = fc
      .array(fc.float(), { maxLength: 12 })
      .map((list) => observe(emptyStatistics(), Float32Array.from(list)));
    fc.assert(
      fc.property(sample, sample, sample, (a, b, c) => {
        const left = mergeStatistics(mergeStatistics(a, b), c);
        expect(mergeStatistics(a, mergeStatistics(b, c))).toEqual(left);
        expect(mergeStatistics(c, mergeStatistics(b, a))).toEqual(left);
        expect(mergeStatistics(left, emptyStatistics())).toEqual(left);
      }),
      { numRuns: 60 },
    );
  });

  test('of different channel counts do not merge.', () => {
    expect(() => mergeStatistics(emptyStatistics(2), emptyStatistics(3))).toThrow('got 2 and 3');
    expect(() => mergeStatistics(emptyStatistics(2), emptyStatistics())).toThrow('got 2 and');
  });
});
