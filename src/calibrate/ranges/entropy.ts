import { binWidth, foldHistogram } from '../../numerics/histogram.ts';
import { type RangeMethod, withinSeen } from './range-method.ts';

/** Levels that magnitudes are merged to: those of int8 on one side of zero. */
const LEVELS = 128;

/**
 * Kullback-Leibler calibration (Migacz, "8-bit Inference with TensorRT", 2017): the magnitude at
 * which the distribution, clipped there and merged to 128 levels, says least else than the whole.
 */
export const entropy: RangeMethod = {
  name: 'entropy',
  description: 'the clipping whose 128 levels diverge least from the distribution (KL)',
  choose: (statistics) => {
    const bins = entropyBins(foldHistogram(statistics.histogram), LEVELS);
    const limit = bins * binWidth(statistics.histogram);
    return withinSeen(-limit, limit, statistics);
  },
};

/**
 * Returns how many of the leading `counts` (of magnitudes) to keep: the candidate of `levels` bins or
 * more with the least KL divergence, the larger of equals. All occupied bins when they are `levels` or fewer.
 *
 * The first bin takes the count of the second, as NVIDIA's own calibrators do: exact zeros (ReLU,
 * padding) pile up there, cost nothing to quantize, and would make every wide candidate look bad.
 *
 * With prefix sums a candidate costs its levels, not its bins: a level of `n` non-empty bins that
 * hold `sum` spreads to `sum / n` each, so only `sum` and `n` are needed.
 */
export function entropyBins(counts: Float64Array, levels: number): number {
  const occupied = counts.findLastIndex((count) => count > 0) + 1;
  if (occupied <= levels) return occupied;
  const prefix = prefixSums(counts, occupied);
  let best = occupied;
  let least = Infinity;
  for (let kept = occupied; kept >= levels; kept--) {
    const divergence = clippedDivergence(prefix, kept, occupied, levels);
    if (divergence < least) {
      least = divergence;
      best = kept;
    }
  }
  return best;
}

/** Running totals over bins: entry `i` is over the first `i`. */
interface Prefix {
  readonly count: Float64Array;
  readonly nonEmpty: Float64Array;
  /** Of `count * log(count)`. */
  readonly entropy: Float64Array;
}

function prefixSums(counts: Float64Array, occupied: number): Prefix {
  const count = new Float64Array(occupied + 1);
  const nonEmpty = new Float64Array(occupied + 1);
  const entropySum = new Float64Array(occupied + 1);
  for (let bin = 0; bin < occupied; bin++) {
    const value = counts[Math.max(bin, 1)]!;
    count[bin + 1] = count[bin]! + value;
    nonEmpty[bin + 1] = nonEmpty[bin]! + (value > 0 ? 1 : 0);
    entropySum[bin + 1] = entropySum[bin]! + (value > 0 ? value * Math.log(value) : 0);
  }
  return { count, nonEmpty, entropy: entropySum };
}

/**
 * KL(P || Q) in nats. P: the first `kept` bins, the last of them with all outliers added. Q: the
 * same bins without outliers, merged to levels and spread over the bins where P is not zero.
 */
function clippedDivergence(prefix: Prefix, kept: number, occupied: number, levels: number): number {
  const { count, nonEmpty } = prefix;
  const total = count[occupied]!;
  const inside = count[kept]!;
  const outliers = total - inside;
  const last = inside - count[kept - 1]!;
  let logQ = 0;
  for (let level = 0; level < levels; level++) {
    const from = Math.floor((level * kept) / levels);
    const to = Math.floor(((level + 1) * kept) / levels);
    const sum = count[to]! - count[from]!;
    const isLast = level === levels - 1;
    const bins = nonEmpty[to]! - nonEmpty[from]! + (isLast && last === 0 && outliers > 0 ? 1 : 0);
    const mass = sum + (isLast ? outliers : 0);
    if (mass === 0) continue;
    // Outliers in a level that has no values of its own: Q is zero where P is not.
    if (sum === 0) return Infinity;
    logQ += mass * Math.log(sum / bins);
  }
  const lastP = last + outliers;
  const logP = prefix.entropy[kept - 1]! + (lastP > 0 ? lastP * Math.log(lastP) : 0);
  return (logP - logQ) / total + Math.log(inside / total);
}
