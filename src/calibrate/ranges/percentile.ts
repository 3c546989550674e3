import { binEdge, binWidth, foldHistogram, type Histogram } from '../../numerics/histogram.ts';
import { type RangeMethod, withinSeen } from './range-method.ts';

/** Percent of the values that stay unclipped when nothing else is said. */
const DEFAULT_PERCENTILE = 99.99;

/** {@link createPercentile} with {@link DEFAULT_PERCENTILE}. */
export const percentile: RangeMethod = createPercentile(DEFAULT_PERCENTILE);

/**
 * Returns the method that keeps `percent` (above 50, at most 100) of the values. Symmetric schemes cut
 * the largest magnitudes, asymmetric ones half of the rest on either side. Positions are linear inside
 * a bin.
 */
export function createPercentile(percent: number): RangeMethod {
  return {
    name: 'percentile',
    description: `${percent} % of the values seen`,
    choose: (statistics, scheme) => {
      const { histogram } = statistics;
      const cut = 1 - percent / 100;
      if (scheme.symmetric) {
        const limit = positionOf(foldHistogram(histogram), 1 - cut) * binWidth(histogram);
        return withinSeen(-limit, limit, statistics);
      }
      return withinSeen(valueAt(histogram, cut / 2), valueAt(histogram, 1 - cut / 2), statistics);
    },
  };
}

function valueAt(histogram: Histogram, fraction: number): number {
  return binEdge(histogram, 0) + positionOf(histogram.counts, fraction) * binWidth(histogram);
}

/** Returns the position, in bins from the first edge, below which `fraction` of the counts lie. */
function positionOf(counts: Float64Array, fraction: number): number {
  const wanted = fraction * counts.reduce((total, count) => total + count, 0);
  let below = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const count = counts[bin]!;
    if (count > 0 && below + count >= wanted) return bin + (wanted - below) / count;
    below += count;
  }
  return counts.length;
}
