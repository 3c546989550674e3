import { UsageError } from '../../errors.ts';
import { isLimited, type SearchBudget } from './budget.ts';

/** A budget as options and config keys spell it. */
export interface BudgetOptions {
  readonly maxKl?: number | undefined;
  /** Points of top-1, as `0.5%` or `0.5pt`: never a relative drop. */
  readonly maxDrop?: string | undefined;
  readonly maxPerplexityRatio?: number | undefined;
}

/** What a loss of top-1 looks like: `0.5%` and `0.5pt` are both half a point. */
export const POINTS_PATTERN: RegExp = /^\d+(\.\d+)?\s*(pt|%)$/;

/** Returns the budget of options, undefined when none is set. Throws {@link UsageError}. */
export function budgetOf(options: BudgetOptions): SearchBudget | undefined {
  const { maxKl, maxDrop, maxPerplexityRatio } = options;
  if (maxDrop !== undefined && !POINTS_PATTERN.test(maxDrop)) {
    throw new UsageError(
      `--max-drop: is no number of points (got "${maxDrop}", expected such as 0.5%). Write points of top-1 with % or pt.`,
    );
  }
  const budget: SearchBudget = {
    ...(maxKl !== undefined && { maxKl }),
    ...(maxDrop !== undefined && { maxDropPoints: Number.parseFloat(maxDrop) }),
    ...(maxPerplexityRatio !== undefined && { maxPerplexityRatio }),
  };
  return isLimited(budget) ? budget : undefined;
}
