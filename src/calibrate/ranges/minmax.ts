import { type RangeMethod, withinSeen } from './range-method.ts';

/** All values seen: nothing is clipped, and one outlier sets the step for everybody. */
export const minmax: RangeMethod = {
  name: 'minmax',
  description: 'the smallest and largest value seen',
  choose: (statistics) => withinSeen(-Infinity, Infinity, statistics),
};
