import { planFromScores, type ScoredGroups } from './plan-pruning.ts';
import { amountOf, type PruneSettings } from './prune-settings.ts';
import type { PruningPlan } from './pruning-plan.ts';

/** Shares that are looked at, evenly spaced: alignment makes one plan of several. */
const STEPS = 64;

/**
 * Returns the plans of ever larger shares up to that of the settings, each different from the one before: the steps in which
 * aligned widths and even heads let a model shrink.
 */
export function amountSteps(scored: ScoredGroups, settings: PruneSettings): readonly PruningPlan[] {
  const most = amountOf(settings);
  const steps: PruningPlan[] = [];
  let before = countsOf(planFromScores(scored, settings, 0));
  for (let step = 1; step <= STEPS; step++) {
    const plan = planFromScores(scored, settings, (most * step) / STEPS);
    const counts = countsOf(plan);
    if (counts === before) continue;
    before = counts;
    steps.push(plan);
  }
  return steps;
}

/** Returns how many units go from each group, as text: equal texts are equal plans of the same scores. */
export function countsOf({ groups }: PruningPlan): string {
  return groups.map(({ removed }) => removed.length).join(' ');
}

/**
 * Returns the last of the steps that holds, by bisection: `ceil(log2(n + 1))` are tried, and the one returned has proven itself.
 * Undefined when none that was tried holds, the first among them.
 */
export async function findMost<Step>(
  steps: readonly Step[],
  holds: (step: Step) => Promise<boolean>,
): Promise<Step | undefined> {
  let [holding, failing] = [-1, steps.length];
  while (failing - holding > 1) {
    const middle = Math.floor((holding + failing) / 2);
    if (await holds(steps[middle]!)) holding = middle;
    else failing = middle;
  }
  return steps[holding];
}
