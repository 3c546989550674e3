/** What a model may lose at most. Absent limits ask for nothing. */
export interface SearchBudget {
  /** Mean KL(source || model) of the logits, in nats. */
  readonly maxKl?: number | undefined;
  /** Loss of top-1 in points: 100 * (share right of the source - of the model). */
  readonly maxDropPoints?: number | undefined;
  /** Perplexity of the model / of the source. */
  readonly maxPerplexityRatio?: number | undefined;
}

/** How far a model is from its source on the windows of a search. */
export interface SearchFigures {
  /** Positions whose logits were compared. */
  readonly positions: number;
  /** Null when it is not finite. */
  readonly klNats: number | null;
  /** Share of positions with the same best class, 0..1. */
  readonly agreement: number;
  /** Null without next tokens to judge by. */
  readonly perplexityRatio: number | null;
  /** Null without labels or next tokens. */
  readonly dropPoints: number | null;
}

/** Says whether a budget has any limit. */
export function isLimited(budget: SearchBudget): boolean {
  return Object.values(budget).some((limit) => limit !== undefined);
}

/** Says whether every limit holds; a figure that was not measured holds none. */
export function meetsBudget(budget: SearchBudget, figures: SearchFigures): boolean {
  const { maxKl, maxDropPoints, maxPerplexityRatio } = budget;
  return (
    isWithin(figures.klNats, maxKl) &&
    isWithin(figures.dropPoints, maxDropPoints) &&
    isWithin(figures.perplexityRatio, maxPerplexityRatio)
  );
}

/** Returns the limits in words: `KL <= 0.02, perplexity <= 1.01x`. */
export function describeBudget(budget: SearchBudget): string {
  const { maxKl, maxDropPoints, maxPerplexityRatio } = budget;
  return [
    maxKl === undefined ? '' : `KL <= ${maxKl}`,
    maxDropPoints === undefined ? '' : `top-1 drop <= ${maxDropPoints} pt`,
    maxPerplexityRatio === undefined ? '' : `perplexity <= ${maxPerplexityRatio}x`,
  ]
    .filter((text) => text !== '')
    .join(', ');
}

function isWithin(value: number | null, limit: number | undefined): boolean {
  return limit === undefined || (value !== null && value <= limit);
}
