/** Order statistics of small samples, such as latencies. */

/**
 * Returns the quantile at `fraction` (0..1) of values in ascending order, linear between order
 * statistics (type 7 of Hyndman and Fan, 1996: the default of numpy and R). NaN when empty.
 */
export function quantileOfSorted(sorted: ArrayLike<number>, fraction: number): number {
  if (sorted.length === 0) return NaN;
  const position = (sorted.length - 1) * fraction;
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (position - below) * (high - low);
}

/** Returns the quantile at `fraction` of values in any order; see {@link quantileOfSorted}. */
export function quantile(values: ArrayLike<number>, fraction: number): number {
  return quantileOfSorted(Float64Array.from(values).sort(), fraction);
}

/** Returns the middle value, or the mean of the two middle values; NaN when empty. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}
