import type { AffineScheme, Range } from '../../numerics/affine.ts';
import type { TensorStatistics } from '../statistics.ts';
import { entropy } from './entropy.ts';
import { minmax } from './minmax.ts';
import { mse, rangeError } from './mse.ts';
import { percentile } from './percentile.ts';
import type { RangeMethod } from './range-method.ts';

/** In the order in which ties are decided: the wider range first. */
const CANDIDATES: readonly RangeMethod[] = [minmax, percentile, mse, entropy];

/** The best of the other methods for each tensor, by SQNR on its histogram. */
export const auto: RangeMethod = {
  name: 'auto',
  description: 'per tensor, whichever of the others has the best SQNR',
  choose: (statistics, scheme) => chooseBest(statistics, scheme).range,
};

/** Returns the range of {@link auto} and the name of the method that won. */
export function chooseBest(
  statistics: TensorStatistics,
  scheme: AffineScheme,
): { readonly method: string; readonly range: Range } {
  let best = { method: minmax.name, range: minmax.choose(statistics, scheme), error: Infinity };
  for (const { name, choose } of CANDIDATES) {
    const range = choose(statistics, scheme);
    const error = rangeError(statistics, scheme, range);
    if (error < best.error) best = { method: name, range, error };
  }
  return { method: best.method, range: best.range };
}
