import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  clusterMeanInterval,
  clusterOf,
  mergeClusters,
  NO_CLUSTERS,
  pairedDifferenceInterval,
  wilsonInterval,
} from '../../src/check/paired-interval.ts';
import { createRandom } from '../../src/numerics/random.ts';

describe('wilsonInterval', () => {
  it('gives 0.4038..0.5962 for 50 of 100, worked by hand', () => {
    // (0.5 + 3.8415/200 ± 1.96 sqrt(0.25/100 + 3.8415/40000)) / (1 + 0.038415)
    const { low, high } = wilsonInterval(0.5, 100);
    expect(low).toBeCloseTo(0.4038, 4);
    expect(high).toBeCloseTo(0.5962, 4);
  });

  it('stays inside 0..1 and is not empty for shares of 0 and 1', () => {
    expect(wilsonInterval(0, 10).low).toBe(0);
    expect(wilsonInterval(0, 10).high).toBeCloseTo(0.2775, 4);
    expect(wilsonInterval(1, 10).high).toBeCloseTo(1, 12);
  });
});

describe('pairedDifferenceInterval', () => {
  it('is null without data', () => {
    expect(
      pairedDifferenceInterval({ both: 0, onlySource: 0, onlyArtifact: 0, neither: 0 }),
    ).toBeNull();
  });

  it('turns its sign when the models change places and always holds the difference', () => {
    const count = fc.integer({ min: 0, max: 500 });
    fc.assert(
      fc.property(count, count, count, count, (both, onlySource, onlyArtifact, neither) => {
        const total = both + onlySource + onlyArtifact + neither;
        fc.pre(total > 0);
        const there = pairedDifferenceInterval({ both, onlySource, onlyArtifact, neither })!;
        const back = pairedDifferenceInterval({
          both,
          onlySource: onlyArtifact,
          onlyArtifact: onlySource,
          neither,
        })!;
        const difference = (onlySource - onlyArtifact) / total;
        expect(there.low).toBeLessThanOrEqual(difference + 1e-12);
        expect(there.high).toBeGreaterThanOrEqual(difference - 1e-12);
        expect(back.low).toBeCloseTo(-there.high, 12);
        expect(back.high).toBeCloseTo(-there.low, 12);
      }),
    );
  });

  it('covers the true difference in 93 to 98 of 100 repeated experiments', () => {
    const random = createRandom(7);
    // P(both) 0.80, P(only source) 0.05, P(only artifact) 0.02: a true difference of 0.03.
    const repeats = 2000;
    let covered = 0;
    for (let repeat = 0; repeat < repeats; repeat++) {
      const counts = { both: 0, onlySource: 0, onlyArtifact: 0, neither: 0 };
      for (let item = 0; item < 400; item++) {
        const drawn = random.uniform();
        if (drawn < 0.8) counts.both++;
        else if (drawn < 0.85) counts.onlySource++;
        else if (drawn < 0.87) counts.onlyArtifact++;
        else counts.neither++;
      }
      const { low, high } = pairedDifferenceInterval(counts)!;
      if (low <= 0.03 && 0.03 <= high) covered++;
    }
    expect(covered / repeats).toBeGreaterThan(0.93);
    expect(covered / repeats).toBeLessThan(0.98);
  });
});

describe('clusterMeanInterval', () => {
  it('is null for a single text, which shows no spread', () => {
    expect(clusterMeanInterval(clusterOf(3, 10))).toBeNull();
  });

  it('is the t interval of the mean when every text has one token', () => {
    // 1, 2, 3, 4: mean 2.5, s = 1.29099, s / 2 = 0.645497, t(3) = 3.1824.
    const sums = [1, 2, 3, 4].map((value) => clusterOf(value, 1)).reduce(mergeClusters);
    const { low, high } = clusterMeanInterval(sums)!;
    expect(low).toBeCloseTo(2.5 - 3.1824 * 0.645497, 5);
    expect(high).toBeCloseTo(2.5 + 3.1824 * 0.645497, 5);
  });

  it('has no width when all tokens are alike, however long the texts', () => {
    const sums = [3, 50, 7].map((items) => clusterOf(0.25 * items, items)).reduce(mergeClusters);
    expect(clusterMeanInterval(sums)).toEqual({ low: 0.25, high: 0.25 });
  });

  it('adds in any order, and nothing adds nothing', () => {
    const a = clusterOf(1.5, 4);
    const b = clusterOf(-2, 3);
    expect(mergeClusters(a, NO_CLUSTERS)).toEqual(a);
    expect(mergeClusters(a, b)).toEqual(mergeClusters(b, a));
    expect(clusterOf(0, 0)).toBe(NO_CLUSTERS);
  });
});
