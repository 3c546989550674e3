import { axisNorms } from '../axis-norms.ts';
import { NO_UNIT } from '../axis-rule.ts';
import type { UnitWeight } from '../unit-weights.ts';
import type { Importance, ScoredGroup } from './importance.ts';

/** Adds what stands at each index to the unit that lies there, times a factor of the index. */
export function addToUnits(
  scores: Float64Array,
  { units }: Pick<UnitWeight, 'units'>,
  sums: Float64Array,
  factorAt: (index: number) => number = () => 1,
): void {
  sums.forEach((sum, index) => {
    const unit = units[index % units.length]!;
    if (unit !== NO_UNIT) scores[unit]! += sum * factorAt(index);
  });
}

async function normScores(
  { group, weights }: ScoredGroup,
  power: 1 | 2,
  isCounted: (weight: UnitWeight) => boolean,
): Promise<Float64Array> {
  const scores = new Float64Array(group.unitCount);
  for (const weight of weights) {
    if (isCounted(weight)) addToUnits(scores, weight, await axisNorms(weight, power));
  }
  return power === 1 ? scores : scores.map(Math.sqrt);
}

const readsUnits = ({ consumer }: UnitWeight): boolean => consumer !== undefined;

/** `sum |w|` over the weights that read a unit: torch's `ln_structured` with n = 1 along their inputs. */
export const l1: Importance = {
  name: 'l1',
  description: 'L1 norm of the weights that read a channel, as torch.nn.utils.prune.ln_structured',
  needs: 'weights',
  score: (group) => normScores(group, 1, readsUnits),
};

/** The same with n = 2. */
export const l2: Importance = {
  name: 'l2',
  description: 'L2 norm of the weights that read a channel',
  needs: 'weights',
  score: (group) => normScores(group, 2, readsUnits),
};

/** `sum |w|` over everything that goes with a unit: what makes it and what reads it. */
export const groupL1: Importance = {
  name: 'group-l1',
  description: 'L1 norm of all weights that go with a channel',
  needs: 'weights',
  score: (group) => normScores(group, 1, () => true),
};
