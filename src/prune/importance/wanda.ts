import { axisNorms } from '../axis-norms.ts';
import type { Importance } from './importance.ts';
import { addToUnits } from './weight-norms.ts';

/** `sum |w| * ||x||` over the inputs of the reading weights (Wanda, Sun et al. 2024, by whole channels). */
export const wanda: Importance = {
  name: 'wanda',
  description: 'L1 norm of the weights that read a channel, times the L2 norm of its activation',
  needs: 'squares',
  async score({ group, weights, moments }) {
    const scores = new Float64Array(group.unitCount);
    for (const weight of weights) {
      if (weight.consumer === undefined) continue;
      const seen = await moments(weight.consumer);
      if (seen === undefined) return 'no sample reached its channels';
      const sums = await axisNorms(weight, 1);
      addToUnits(scores, weight, sums, (index) => Math.sqrt(seen.squares[index]!));
    }
    return scores;
  },
};
