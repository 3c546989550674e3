import { UsageError } from '../../errors.ts';
import type { AffineScheme, Range } from '../../numerics/affine.ts';
import type { TensorStatistics } from '../statistics.ts';
import { auto, chooseBest } from './auto.ts';
import { entropy } from './entropy.ts';
import { minmax } from './minmax.ts';
import { mse } from './mse.ts';
import { createPercentile, percentile } from './percentile.ts';
import type { RangeMethod } from './range-method.ts';

/** All range methods. Another one is a file and a line here. */
export const RANGE_METHODS: readonly RangeMethod[] = [minmax, percentile, entropy, mse, auto];

/**
 * Returns the method of that name; `percentile:99.9` sets the percent to keep. Throws UsageError for
 * anything else, naming the methods there are.
 */
export function findRangeMethod(name: string): RangeMethod {
  const found = RANGE_METHODS.find((method) => method.name === name);
  if (found !== undefined) return found;
  const percent = /^percentile:(\d{2,3}(?:\.\d+)?)$/.exec(name)?.[1];
  if (percent !== undefined && Number(percent) > 50 && Number(percent) <= 100) {
    return createPercentile(Number(percent));
  }
  const names = RANGE_METHODS.map((method) => method.name).join(', ');
  throw new UsageError(
    `range method "${name}": there is none of that name (expected ${names} or percentile:<50-100>). ` +
      'Choose one of these.',
  );
}

/** A range and the method that chose it: with `auto` the one that won for this tensor. */
export interface ChosenRange extends Range {
  readonly method: string;
}

/** Returns the range of the method named `name` for a tensor; see {@link findRangeMethod} for names. */
export function chooseRange(
  statistics: TensorStatistics,
  scheme: AffineScheme,
  name: string,
): ChosenRange {
  const method = findRangeMethod(name);
  if (method !== auto) return { method: method.name, ...method.choose(statistics, scheme) };
  const best = chooseBest(statistics, scheme);
  return { method: best.method, ...best.range };
}
