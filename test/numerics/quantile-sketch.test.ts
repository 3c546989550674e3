import { describe, expect, it } from 'vitest';
import {
  EMPTY_SKETCH,
  mergeSketches,
  SKETCH_ACCURACY,
  sketchQuantile,
  sketchValues,
} from '../../src/numerics/quantile-sketch.ts';
import { createRandom } from '../../src/numerics/random.ts';

describe('quantile sketch', () => {
  it('gives the order statistics of values over twenty decades within its relative error', () => {
    const random = createRandom(5);
    const values = Float64Array.from({ length: 5000 }, () => 10 ** (20 * random.uniform() - 12));
    const sketch = sketchValues(values);
    const sorted = values.slice().sort();
    for (const fraction of [0, 0.001, 0.01, 0.5, 0.99, 0.999, 1]) {
      const exact = sorted[Math.max(1, Math.ceil(fraction * 5000)) - 1]!;
      const found = sketchQuantile(sketch, fraction);
      // A hair more than the bound of the bin: the logarithm of a value on its edge rounds.
      expect(Math.abs(found / exact - 1)).toBeLessThanOrEqual(1.0001 * SKETCH_ACCURACY);
    }
  });

  it('is the same whether values are sketched together or apart, in any order', () => {
    const values = Array.from({ length: 999 }, (_, index) => (index * 7919) % 1009);
    const parts = [values.slice(600), values.slice(0, 10), values.slice(10, 600)];
    const merged = parts.map(sketchValues).reduce(mergeSketches, EMPTY_SKETCH);
    expect(merged).toEqual(sketchValues(values));
  });

  it('does not grow with the number of values', () => {
    const random = createRandom(6);
    const values = Float64Array.from({ length: 200_000 }, () => 1 + random.uniform());
    // ln 2 / ln(1.001 / 0.999) bins lie between 1 and 2.
    expect(sketchValues(values).bins.size).toBeLessThanOrEqual(348);
  });

  it('keeps zeros exact, counts NaN as infinite and has no quantile of nothing', () => {
    const sketch = sketchValues([0, 0, 0, 2, Number.NaN]);
    expect(sketchQuantile(sketch, 0.6)).toBe(0);
    expect(sketchQuantile(sketch, 0.8)).toBeCloseTo(2, 2);
    expect(sketchQuantile(sketch, 1)).toBe(Infinity);
    expect(sketch.max).toBe(Infinity);
    expect(sketchQuantile(EMPTY_SKETCH, 0.5)).toBeNaN();
  });

  it('gives the largest value exactly, and never more', () => {
    for (const value of [3, 0.7, 1e-9]) {
      expect(sketchQuantile(sketchValues([value]), 0)).toBe(value);
      expect(sketchQuantile(sketchValues([value, value, value]), 0.5)).toBeLessThanOrEqual(value);
    }
  });
});
