/**
 * Histograms whose range grows by doubling. Bins are dyadic and zero is an edge, so when the range
 * doubles each pair of bins becomes one bin of the wider histogram, without any value in the
 * wrong place: the counts depend only on the set of values, never on their order or on how they were
 * split over samples and shards.
 */

/** Bins of a histogram: 2,048 on each side of zero. */
export const HISTOGRAM_BINS = 4096;

const HALF = HISTOGRAM_BINS / 2;
/** The narrowest range is +-2^-126: finer values are all alike to a quantizer. */
const MIN_EXPONENT = -126;

/** Counts of one call: integers are added faster than float64, and no array has 2^32 elements. */
const tally = new Uint32Array(HISTOGRAM_BINS);

/**
 * Counts over (-2^exponent, 2^exponent), which is the narrowest such range that holds all values.
 * With `w = 2^exponent / 2048`, bin `2048 + k` counts `[k*w, (k+1)*w)` for k of -2048..2047.
 */
export interface Histogram {
  readonly exponent: number;
  /** 4,096 whole numbers, exact up to 2^53. */
  readonly counts: Float64Array;
}

/** Returns the histogram of no values. */
export function emptyHistogram(): Histogram {
  return { exponent: MIN_EXPONENT, counts: new Float64Array(HISTOGRAM_BINS) };
}

/** Returns the width of one bin. */
export function binWidth(histogram: Histogram): number {
  return 2 ** histogram.exponent / HALF;
}

/** Returns the lower edge of bin `index`; `index` 4096 gives the upper edge of the last. */
export function binEdge(histogram: Histogram, index: number): number {
  return (index - HALF) * binWidth(histogram);
}

/** Returns the number of values counted. */
export function histogramTotal(histogram: Histogram): number {
  let total = 0;
  for (const count of histogram.counts) total += count;
  return total;
}

/**
 * Returns `histogram` with `values` added. All values must be finite and `absMax` the largest
 * magnitude among them.
 */
export function addToHistogram(
  histogram: Histogram,
  values: Float32Array,
  absMax: number,
): Histogram {
  const exponent = Math.max(histogram.exponent, exponentFor(absMax));
  const counts = widened(histogram, exponent);
  const perUnit = HALF * 2 ** -exponent;
  tally.fill(0);
  for (let index = 0; index < values.length; index++) {
    // A sign test instead of floor would be mispredicted for half of all activations.
    const bin = (Math.floor(values[index]! * perUnit) + HALF) | 0;
    tally[bin] = tally[bin]! + 1;
  }
  for (let bin = 0; bin < HISTOGRAM_BINS; bin++) counts[bin] = counts[bin]! + tally[bin]!;
  return { exponent, counts };
}

/** Returns the histogram of the values of both, exactly. */
export function mergeHistograms(first: Histogram, second: Histogram): Histogram {
  const exponent = Math.max(first.exponent, second.exponent);
  const counts = widened(first, exponent);
  const other = second.exponent === exponent ? second.counts : widened(second, exponent);
  for (let bin = 0; bin < HISTOGRAM_BINS; bin++) counts[bin] = counts[bin]! + other[bin]!;
  return { exponent, counts };
}

/** Returns 2,048 counts of |x|: bin `k` counts `[k*w, (k+1)*w)`, or `(k*w, (k+1)*w]` for x below zero. */
export function foldHistogram(histogram: Histogram): Float64Array {
  const { counts } = histogram;
  return Float64Array.from(
    { length: HALF },
    (_, bin) => counts[HALF + bin]! + counts[HALF - 1 - bin]!,
  );
}

/** Smallest exponent whose range holds `absMax` strictly inside. */
function exponentFor(absMax: number): number {
  if (absMax < 2 ** MIN_EXPONENT) return MIN_EXPONENT;
  // log2 rounds, so next to a power of two the estimate may be one too low or too high.
  const exponent = Math.floor(Math.log2(absMax)) + 1;
  if (2 ** exponent <= absMax) return exponent + 1;
  return 2 ** (exponent - 1) > absMax ? exponent - 1 : exponent;
}

/** Returns a copy of the counts as they stand in the wider range. */
function widened(histogram: Histogram, exponent: number): Float64Array {
  const doublings = exponent - histogram.exponent;
  if (doublings === 0) return histogram.counts.slice();
  const counts = new Float64Array(HISTOGRAM_BINS);
  const divisor = 2 ** doublings;
  for (let bin = 0; bin < HISTOGRAM_BINS; bin++) {
    const merged = HALF + Math.floor((bin - HALF) / divisor);
    counts[merged] = counts[merged]! + histogram.counts[bin]!;
  }
  return counts;
}
