/**
 * Quantiles of any number of figures in bounded memory: counts by logarithmic bins (DDSketch, Masson,
 * Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
 * VLDB 2019). Integer counts add up alike in any order, so samples can be sketched apart and merged.
 */

/** Counts of values of 0 and above, by bin. */
export interface QuantileSketch {
  readonly count: number;
  /** Largest value, exactly; -Infinity for none. */
  readonly max: number;
  /** Bin i counts the values in (GAMMA^(i-1), GAMMA^i]; bin -Infinity those that count as 0. */
  readonly bins: ReadonlyMap<number, number>;
}

/** Relative error of a quantile, at most. */
export const SKETCH_ACCURACY = 1e-3;

const GAMMA = (1 + SKETCH_ACCURACY) / (1 - SKETCH_ACCURACY);
const LOG_GAMMA = Math.log(GAMMA);

/** Smaller values count as 0, larger ones as this: at most 55,000 bins, some hundred in practice. */
const SMALLEST = 1e-24;
const LARGEST = 1e24;

/** The sketch of no values; identity of {@link mergeSketches}. */
export const EMPTY_SKETCH: QuantileSketch = { count: 0, max: -Infinity, bins: new Map() };

/** Returns the sketch of values from 0 to Infinity; NaN counts as Infinity, the worst of figures. */
export function sketchValues(values: ArrayLike<number>): QuantileSketch {
  const bins = new Map<number, number>();
  let max = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const given = values[index]!;
    const value = Number.isNaN(given) ? Infinity : given;
    if (value > max) max = value;
    const bin = binOf(value);
    bins.set(bin, (bins.get(bin) ?? 0) + 1);
  }
  return { count: values.length, max, bins };
}

function binOf(value: number): number {
  if (value < SMALLEST) return -Infinity;
  if (value === Infinity) return Infinity;
  return Math.ceil(Math.log(Math.min(value, LARGEST)) / LOG_GAMMA);
}

/** Returns the sketch of the values of both. */
export function mergeSketches(a: QuantileSketch, b: QuantileSketch): QuantileSketch {
  if (a.count === 0) return b;
  if (b.count === 0) return a;
  const bins = new Map(a.bins);
  for (const [bin, count] of b.bins) bins.set(bin, (bins.get(bin) ?? 0) + count);
  return { count: a.count + b.count, max: Math.max(a.max, b.max), bins };
}

/**
 * Returns the least value that a share of at least `fraction` (0..1) of all values does not exceed
 * (the inverse of the distribution function: no interpolation), within {@link SKETCH_ACCURACY} of it.
 * NaN for no values.
 */
export function sketchQuantile({ count, max, bins }: QuantileSketch, fraction: number): number {
  if (count === 0) return NaN;
  const rank = Math.max(1, Math.ceil(fraction * count));
  if (rank >= count) return max;
  let seen = 0;
  for (const bin of [...bins.keys()].sort((a, b) => a - b)) {
    seen += bins.get(bin)!;
    if (seen >= rank) return Math.min((2 * GAMMA ** bin) / (GAMMA + 1), max);
  }
  return max;
}
