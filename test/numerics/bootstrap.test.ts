import { describe, expect, test } from 'vitest';
import { bootstrapMedianRatio } from '../../src/numerics/bootstrap.ts';
import { median, quantile } from '../../src/numerics/quantile.ts';
import { createRandom, shuffle } from '../../src/numerics/random.ts';

describe('Quantiles', () => {
  test('are linear between order statistics.', () => {
    expect(quantile([40, 10, 20, 30], 0.5)).toBe(25);
    expect(quantile([10, 20, 30, 40], 0.9)).toBeCloseTo(37, 12);
    expect(median([3, 1, 2])).toBe(2);
    expect(quantile([5], 0.99)).toBe(5);
    expect(median([])).toBeNaN();
  });
});

describe('Random numbers', () => {
  test('are the same for the same seed and differ for others, also beyond 32 bits.', () => {
    const draw = (seed: number): number[] => {
      const random = createRandom(seed);
      return [random.uint32(), random.uint32(), random.uint32()];
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(0)).not.toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(1 + 2 ** 32));
    expect(draw(1)).toMatchInlineSnapshot(`
      [
        393288148,
        2174103013,
        3814759091,
      ]
    `);
  });

  test('have the mean and spread of their distributions.', () => {
    const random = createRandom(1);
    const uniform = Array.from({ length: 20000 }, random.uniform);
    const normal = Array.from({ length: 20000 }, random.normal);
    const mean = (values: number[]): number => values.reduce((a, b) => a + b) / values.length;
    // Four standard errors of 20,000 draws: 4 * 0.29 / 141 and 4 / 141.
    expect(Math.abs(mean(uniform) - 0.5)).toBeLessThan(0.009);
    expect(Math.abs(mean(normal))).toBeLessThan(0.029);
    expect(Math.abs(mean(normal.map((value) => value * value)) - 1)).toBeLessThan(0.04);
    expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...uniform)).toBeLessThan(1);
  });

  test('shuffle without loss and leave the input alone.', () => {
    const items = Array.from({ length: 50 }, (_, index) => index);
    const shuffled = shuffle(items, createRandom(3));
    expect(shuffled).not.toEqual(items);
    expect([...shuffled].sort((a, b) => a - b)).toEqual(items);
    expect(items[0]).toBe(0);
  });
});

describe('The bootstrap of a ratio of medians', () => {
  const random = createRandom(11);
  const slow = Array.from({ length: 200 }, () => 20 + random.normal());
  const fast = Array.from({ length: 200 }, () => 10 + random.normal() / 2);

  test('brackets the true ratio closely and excludes 1.', () => {
    const interval = bootstrapMedianRatio(slow, fast, { seed: 1 });
    expect(interval.low).toBeLessThan(2);
    expect(interval.high).toBeGreaterThan(2);
    expect(interval.low).toBeGreaterThan(1.9);
    expect(interval.high).toBeLessThan(2.1);
    expect(interval).toEqual(bootstrapMedianRatio(slow, fast, { seed: 1 }));
  });

  test('covers the truth about as often as it says.', () => {
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const draw = (): number[] => Array.from({ length: 60 }, () => 10 + random.normal());
      const { low, high } = bootstrapMedianRatio(draw(), draw(), { seed: trial, resamples: 400 });
      if (low <= 1 && high >= 1) covered++;
    }
    // 95 % of 200 within four standard errors (3.1), the bootstrap of a median being a little wide.
    expect(covered).toBeGreaterThan(177);
  });

  test('pairs cancel what both sides suffer: drift widens the unpaired interval only.', () => {
    const drift = Array.from({ length: 100 }, (_, index) => 1 + index / 50);
    const numerator = drift.map((factor) => 2 * factor);
    const paired = bootstrapMedianRatio(numerator, drift, { seed: 5, paired: true });
    const unpaired = bootstrapMedianRatio(numerator, drift, { seed: 5 });
    expect(paired.high - paired.low).toBeLessThan(1e-12);
    expect(unpaired.high - unpaired.low).toBeGreaterThan(0.1);
  });

  test('refuses empty sides and uneven pairs.', () => {
    expect(() => bootstrapMedianRatio([], [1], { seed: 1 })).toThrow('a side is empty');
    expect(() => bootstrapMedianRatio([1, 2], [1], { seed: 1, paired: true })).toThrow(
      'got 2 and 1',
    );
  });
});
