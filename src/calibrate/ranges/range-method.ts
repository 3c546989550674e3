import type { AffineScheme, Range } from '../../numerics/affine.ts';
import type { TensorStatistics } from '../statistics.ts';

/**
 * A way to choose which values an activation's integers should reach. `choose` is pure; the range it
 * returns lies within the values seen (and is 0..0 when there were none), and `chooseScale`
 * widens it to hold zero. With a symmetric scheme only the larger magnitude matters.
 */
export interface RangeMethod {
  /** The file name, and the name in recipes and on the command line. */
  readonly name: string;
  readonly description: string;
  choose(statistics: TensorStatistics, scheme: AffineScheme): Range;
}

/** Returns `low`..`high`, each cut to the values seen; 0..0 when there were none. */
export function withinSeen(low: number, high: number, statistics: TensorStatistics): Range {
  const { count, min, max } = statistics;
  if (count === 0) return { min: 0, max: 0 };
  const cut = (value: number): number => Math.min(Math.max(value, min), max);
  return { min: cut(low), max: cut(high) };
}
