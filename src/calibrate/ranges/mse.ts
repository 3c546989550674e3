import {
  type AffineScheme,
  chooseScale,
  type Range,
  representableRange,
} from '../../numerics/affine.ts';
import type { TensorStatistics } from '../statistics.ts';
import { quantizationError } from './histogram-error.ts';
import { type RangeMethod, withinSeen } from './range-method.ts';

/** Candidates for each end: the extreme times 2^(-k/12), down to a thousandth. */
const STEPS = 120;
const STEPS_PER_HALVING = 12;
/** Times that the two ends of an asymmetric range are searched in turn; two rounds settle nearly all. */
const MAX_ROUNDS = 4;

/** The range whose quantizer has the least mean squared error on the histogram; the wider of equals. */
export const mse: RangeMethod = {
  name: 'mse',
  description: 'the clipping with the least mean squared error',
  choose: (statistics, scheme) => {
    const seen = withinSeen(-Infinity, Infinity, statistics);
    return scheme.symmetric
      ? searchSymmetric(statistics, scheme, seen)
      : searchBothEnds(statistics, scheme, seen);
  },
};

/** Returns the squared error of quantizing the values with `range`, or any number above `atMost`. */
export function rangeError(
  statistics: TensorStatistics,
  scheme: AffineScheme,
  range: Range,
  atMost = Infinity,
): number {
  const parameters = chooseScale(range, scheme);
  return quantizationError(
    statistics.histogram,
    parameters,
    representableRange(parameters, scheme),
    atMost,
  );
}

function searchSymmetric(statistics: TensorStatistics, scheme: AffineScheme, seen: Range): Range {
  const absMax = Math.max(-seen.min, seen.max);
  const best = searchShrink((shrink, atMost) => {
    const limit = absMax * shrink;
    return rangeError(statistics, scheme, { min: -limit, max: limit }, atMost);
  });
  return withinSeen(-absMax * best, absMax * best, statistics);
}

/** Coordinate descent: the best maximum for this minimum, the best minimum for that maximum, and again. */
function searchBothEnds(statistics: TensorStatistics, scheme: AffineScheme, seen: Range): Range {
  let range = seen;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = range;
    if (seen.max > 0) {
      const shrink = searchShrink((candidate, atMost) =>
        rangeError(statistics, scheme, { ...range, max: seen.max * candidate }, atMost),
      );
      range = { ...range, max: seen.max * shrink };
    }
    if (seen.min < 0) {
      const shrink = searchShrink((candidate, atMost) =>
        rangeError(statistics, scheme, { ...range, min: seen.min * candidate }, atMost),
      );
      range = { ...range, min: seen.min * shrink };
    }
    if (range.min === before.min && range.max === before.max) break;
  }
  return range;
}

/** Returns the shrink factor of least error, trying 1 first so that the widest of equals wins. */
function searchShrink(errorOf: (shrink: number, atMost: number) => number): number {
  let best = 1;
  let least = errorOf(1, Infinity);
  for (let step = 1; step < STEPS; step++) {
    const shrink = 2 ** (-step / STEPS_PER_HALVING);
    const error = errorOf(shrink, least);
    if (error < least) {
      least = error;
      best = shrink;
    }
  }
  return best;
}
