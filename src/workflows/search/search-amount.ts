import { GateFailedError } from '../../errors.ts';
import { amountSteps, countsOf, findMost } from '../../prune/amount-steps.ts';
import type { AmountPoint, PruningPlan } from '../../prune/pruning-plan.ts';
import {
  describeBudget,
  describeFigures,
  meetsBudget,
  type SearchBudget,
} from '../../quantize/search/budget.ts';
import type { Reporter } from '../progress.ts';
import { openPrunedBench, type PrunedBenchRequest } from './pruned-bench.ts';
import { requireFigures } from './require-figures.ts';

/**
 * Returns the plan of the largest share that holds the budget, measured on all held-out samples, with every share that was
 * tried, smallest first. Throws GateFailedError when the smallest step does not hold.
 */
export async function searchAmount(
  request: PrunedBenchRequest,
  budget: SearchBudget,
  reporter: Reporter,
): Promise<PruningPlan> {
  const steps = amountSteps(request.scored, request.settings);
  const trials = Math.ceil(Math.log2(steps.length + 1));
  const bench = await openPrunedBench(request, { name: 'search', trials }, reporter);
  const points: AmountPoint[] = [];
  try {
    const found = await findMost(steps, async (plan) => {
      const figures = await bench.measure(plan);
      requireFigures(budget, figures);
      points.push({ amount: plan.amount, counts: countsOf(plan), figures });
      return meetsBudget(budget, figures);
    });
    if (found === undefined) throw notMet(budget, steps, points);
    const curve = [...points].sort((a, b) => a.amount - b.amount);
    return { ...found, search: { budget: describeBudget(budget), windows: bench.windows, curve } };
  } finally {
    await bench.close();
  }
}

function notMet(
  budget: SearchBudget,
  steps: readonly PruningPlan[],
  points: readonly AmountPoint[],
): GateFailedError {
  const [smallest] = [...points].sort((a, b) => a.amount - b.amount);
  if (smallest === undefined || steps.length === 0) {
    return new GateFailedError(
      'prune: there is no step to take: every width and head count is the smallest already. Use --exact or --align 1.',
    );
  }
  return new GateFailedError(
    `prune: no share holds the limits (got ${describeFigures(smallest.figures)} with the smallest step, ` +
      `${(100 * smallest.amount).toFixed(1)} %, expected ${describeBudget(budget)}). Allow more, or protect layers.`,
  );
}
