import type { SearchFigures } from './budget.ts';
import { type GroupChoice, hasIntegerActivations, type SearchGroup } from './search-group.ts';

/** How much a group costs in accuracy, measured. */
export interface GroupSensitivity {
  /** Index of the group. */
  readonly group: number;
  /** KL in nats when this group alone is as planned and all others are weight-only. */
  readonly klNats: number | null;
  /** What this group adds to the KL of the model with weight-only groups alone. */
  readonly excessKl: number | null;
}

/** Runs one choice per group on the windows of the search. */
export type Evaluate = (choices: readonly GroupChoice[]) => Promise<SearchFigures>;

/**
 * Measures each group with INT8 activations alone and returns the groups, most sensitive per
 * weight first: falling back in that order loses the fewest INT8 weights for the KL it saves. A
 * group whose KL is not finite comes before all others; equals stay in the order of the plan.
 */
export async function rankGroups(
  groups: readonly SearchGroup[],
  evaluate: Evaluate,
): Promise<readonly GroupSensitivity[]> {
  const baseline = await evaluate(groups.map(() => 'weight-only'));
  const ranking: GroupSensitivity[] = [];
  for (const [group, own] of groups.entries()) {
    if (!hasIntegerActivations(own)) continue;
    const choices = groups.map((_, index) => (index === group ? 'planned' : 'weight-only'));
    const { klNats } = await evaluate(choices);
    ranking.push({ group, klNats, excessKl: difference(klNats, baseline.klNats) });
  }
  return sortBySensitivity(groups, ranking);
}

/** Returns sensitivities sorted by what a group adds per weight, largest first. */
function sortBySensitivity(
  groups: readonly SearchGroup[],
  ranking: readonly GroupSensitivity[],
): readonly GroupSensitivity[] {
  const density = ({ group, excessKl }: GroupSensitivity): number =>
    excessKl === null ? Infinity : excessKl / groups[group]!.weightCount;
  return [...ranking].sort((a, b) => {
    const [first, second] = [density(a), density(b)];
    return first === second ? a.group - b.group : second - first;
  });
}

/** Returns choices in which the first `count` groups of an order fall back, the rest as planned. */
export function fallBack(
  groups: readonly SearchGroup[],
  order: readonly { readonly group: number }[],
  count: number,
  choice: GroupChoice,
  rest: GroupChoice = 'planned',
): readonly GroupChoice[] {
  const choices = groups.map((): GroupChoice => rest);
  for (const { group } of order.slice(0, count)) choices[group] = choice;
  return choices;
}

function difference(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a - b;
}
