import { median, quantileOfSorted } from './quantile.ts';
import { createRandom } from './random.ts';

/** An estimate with its confidence interval. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  /** Probability that the interval aims at, such as 0.95. */
  readonly confidence: number;
}

/** How an interval is made. */
export interface BootstrapOptions {
  readonly seed: number;
  /** 2,000 when absent. */
  readonly resamples?: number;
  /** 0.95 when absent. */
  readonly confidence?: number;
  /**
   * Draws the same positions from both sides. For interleaved A/B runs: a slow spell that hit both
   * neighbours then cancels. Both sides must have equal lengths.
   */
  readonly paired?: boolean;
}

/**
 * Returns `median(numerator) / median(denominator)` with its percentile bootstrap interval (Efron,
 * 1979). Throws RangeError when a side is empty, or when paired sides differ in length.
 */
export function bootstrapMedianRatio(
  numerator: readonly number[],
  denominator: readonly number[],
  options: BootstrapOptions,
): Interval {
  const { seed, resamples = 2000, confidence = 0.95, paired = false } = options;
  if (numerator.length === 0 || denominator.length === 0) {
    throw new RangeError('bootstrap: a side is empty (got 0 values, expected at least 1)');
  }
  if (paired && numerator.length !== denominator.length) {
    throw new RangeError(
      `bootstrap: pairs need equal lengths (got ${numerator.length} and ${denominator.length})`,
    );
  }
  const random = createRandom(seed);
  const upper = new Float64Array(numerator.length);
  const lower = new Float64Array(denominator.length);
  const ratios = Float64Array.from({ length: resamples }, () => {
    for (let index = 0; index < upper.length; index++) {
      const drawn = random.integer(upper.length);
      upper[index] = numerator[drawn]!;
      if (paired) lower[index] = denominator[drawn]!;
    }
    if (!paired) {
      for (let index = 0; index < lower.length; index++) {
        lower[index] = denominator[random.integer(lower.length)]!;
      }
    }
    return quantileOfSorted(upper.sort(), 0.5) / quantileOfSorted(lower.sort(), 0.5);
  }).sort();
  const tail = (1 - confidence) / 2;
  return {
    estimate: median(numerator) / median(denominator),
    low: quantileOfSorted(ratios, tail),
    high: quantileOfSorted(ratios, 1 - tail),
    confidence,
  };
}
