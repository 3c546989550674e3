/** 95 % intervals of differences between two models that answered the same questions. */
import type { Interval } from './check-result.ts';

/** Two-sided 95 % point of the standard normal distribution. */
const NORMAL_95 = 1.959963984540054;

/** How often two models were right on the same questions. */
export interface PairedCounts {
  readonly both: number;
  readonly onlySource: number;
  readonly onlyArtifact: number;
  readonly neither: number;
}

/**
 * Returns the interval of P(source right) - P(artifact right), by method 10 of Newcombe, "Improved
 * confidence intervals for the difference between binomial proportions based on paired data",
 * Statistics in Medicine 17 (1998): two Wilson intervals joined through their correlation. It holds
 * for small samples and for shares near 0 and 1, and needs the four counts alone. Null without data.
 */
export function pairedDifferenceInterval(counts: PairedCounts): Interval | null {
  const { both, onlySource, onlyArtifact, neither } = counts;
  const total = both + onlySource + onlyArtifact + neither;
  if (total === 0) return null;
  const source = (both + onlySource) / total;
  const artifact = (both + onlyArtifact) / total;
  const ofSource = wilsonInterval(source, total);
  const ofArtifact = wilsonInterval(artifact, total);
  const phi = correlation(counts, total);
  const reach = (own: number, other: number): number =>
    Math.sqrt(Math.max(0, own * own - 2 * phi * own * other + other * other));
  const difference = source - artifact;
  return {
    low: difference - reach(source - ofSource.low, ofArtifact.high - artifact),
    high: difference + reach(ofSource.high - source, artifact - ofArtifact.low),
  };
}

/** Returns the 95 % score interval of a share of `total` trials (Wilson, 1927). */
export function wilsonInterval(share: number, total: number): Interval {
  const z2 = NORMAL_95 * NORMAL_95;
  const centre = share + z2 / (2 * total);
  const reach = NORMAL_95 * Math.sqrt((share * (1 - share)) / total + z2 / (4 * total * total));
  const scale = 1 + z2 / total;
  return {
    low: Math.max(0, (centre - reach) / scale),
    high: Math.min(1, (centre + reach) / scale),
  };
}

/** The phi coefficient, with the continuity correction of method 10. */
function correlation(counts: PairedCounts, total: number): number {
  const { both, onlySource, onlyArtifact, neither } = counts;
  const margins =
    (both + onlySource) * (onlyArtifact + neither) * (both + onlyArtifact) * (onlySource + neither);
  if (margins === 0) return 0;
  const cross = both * neither - onlySource * onlyArtifact;
  const corrected = cross > 0 ? Math.max(0, cross - total / 2) : cross;
  return corrected / Math.sqrt(margins);
}

/**
 * Sums over clusters (texts, sequences) of a figure that is averaged over items (tokens). Tokens of
 * one text resemble each other, so an interval must come from the spread between texts.
 */
export interface ClusterSums {
  readonly clusters: number;
  readonly items: number;
  readonly total: number;
  readonly totalSquares: number;
  readonly totalTimesItems: number;
  readonly itemsSquares: number;
}

/** The sums of no clusters; identity of {@link mergeClusters}. */
export const NO_CLUSTERS: ClusterSums = {
  clusters: 0,
  items: 0,
  total: 0,
  totalSquares: 0,
  totalTimesItems: 0,
  itemsSquares: 0,
};

/** Returns the sums of one cluster whose `items` figures add up to `total`; none without items. */
export function clusterOf(total: number, items: number): ClusterSums {
  if (items === 0) return NO_CLUSTERS;
  return {
    clusters: 1,
    items,
    total,
    totalSquares: total * total,
    totalTimesItems: total * items,
    itemsSquares: items * items,
  };
}

/** Returns the sums of two disjoint groups of clusters. */
export function mergeClusters(a: ClusterSums, b: ClusterSums): ClusterSums {
  return {
    clusters: a.clusters + b.clusters,
    items: a.items + b.items,
    total: a.total + b.total,
    totalSquares: a.totalSquares + b.totalSquares,
    totalTimesItems: a.totalTimesItems + b.totalTimesItems,
    itemsSquares: a.itemsSquares + b.itemsSquares,
  };
}

/**
 * Returns the interval of the mean per item: the ratio estimator of cluster sampling (Cochran,
 * "Sampling Techniques", 3rd ed. 1977, section 9A.1) with Student's t for few clusters. Null below
 * two clusters, which show no spread.
 */
export function clusterMeanInterval(sums: ClusterSums): Interval | null {
  const { clusters, items, total, totalSquares, totalTimesItems, itemsSquares } = sums;
  if (clusters < 2) return null;
  const mean = total / items;
  const spread = totalSquares - 2 * mean * totalTimesItems + mean * mean * itemsSquares;
  const error = Math.sqrt((Math.max(0, spread) * clusters) / (clusters - 1)) / items;
  const reach = student95(clusters - 1) * error;
  return { low: mean - reach, high: mean + reach };
}

/** Two-sided 95 % points of Student's t for 1 to 10 degrees of freedom. */
const STUDENT_95: readonly number[] = [
  12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281,
];

/** From 11 degrees on, the expansion of Fisher (1926) in 1/degrees: off by less than 0.0003. */
function student95(degrees: number): number {
  const tabulated = STUDENT_95[degrees - 1];
  if (tabulated !== undefined) return tabulated;
  const z = NORMAL_95;
  const first = (z ** 3 + z) / 4;
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96;
  return z + first / degrees + second / (degrees * degrees);
}
