import { UsageError } from '../../errors.ts';
import type { SearchBudget, SearchFigures } from '../../quantize/search/budget.ts';

/**
 * Throws UsageError for a limit on a figure that these data cannot give: it would fail everything, and say nothing.
 */
export function requireFigures(budget: SearchBudget, figures: SearchFigures): void {
  if (budget.maxDropPoints !== undefined && figures.dropPoints === null) {
    throw new UsageError(
      '--max-drop: the held-out samples have neither labels nor next tokens. Use --max-kl.',
    );
  }
  // A ratio can also be missing because logits are not finite: then the KL is missing, too.
  const isAbsent = figures.perplexityRatio === null && figures.klNats !== null;
  if (budget.maxPerplexityRatio !== undefined && isAbsent) throw noText();
}

/** Returns the error of a limit on perplexity where there is no text. */
export function noText(): UsageError {
  return new UsageError(
    '--max-perplexity-ratio: the held-out samples are no text. Use --max-kl or --max-drop.',
  );
}
