import type { LogitFigures } from '../../numerics/logit-reference.ts';

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
export type SearchFigures = LogitFigures;

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

/** Returns figures in words: `KL 0.0213, top-1 drop 0.40 pt, perplexity 1.0120x`. */
export function describeFigures({ klNats, dropPoints, perplexityRatio }: SearchFigures): string {
  return [
    `KL ${klNats === null ? 'not finite' : klNats.toPrecision(3)}`,
    dropPoints === null ? '' : `top-1 drop ${dropPoints.toFixed(2)} pt`,
    perplexityRatio === null ? '' : `perplexity ${perplexityRatio.toFixed(4)}x`,
  ]
    .filter((text) => text !== '')
    .join(', ');
}

function isWithin(value: number | null, limit: number | undefined): boolean {
  return limit === undefined || (value !== null && value <= limit);
}
