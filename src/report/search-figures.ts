import type { SearchFile } from '../quantize/search/search-file.ts';
import { formatPercent, formatSignificant } from './format.ts';

/** Rows of a ranking that people are shown at least. */
const SHOWN = 12;

/** Returns the groups that fell back and some more, most sensitive first. */
export function shownGroups(groups: SearchFile['groups']): SearchFile['groups'] {
  const last = groups.findLastIndex(({ choice }) => choice !== 'planned');
  return groups.slice(0, Math.max(SHOWN, last + 3));
}

/** Returns nats with three digits; values that are not finite are said to be so. */
export function formatDivergence(nats: number | null): string {
  if (nats === null) return 'not finite';
  return nats < 0 ? `-${formatSignificant(-nats, 3)}` : formatSignificant(nats, 3);
}

/** Returns what becomes of a group, as the recipe's schemes are called. */
export function formatChoice(choice: SearchFile['groups'][number]['choice']): string {
  return choice === 'planned' ? 'w8a8' : choice;
}

/** Returns the limits of a budget in words. */
export function formatBudget(budget: NonNullable<SearchFile['budget']>): string {
  const { maxKl, maxDropPoints, maxPerplexityRatio } = budget;
  return [
    ...(maxKl === undefined ? [] : [`KL <= ${maxKl}`]),
    ...(maxDropPoints === undefined ? [] : [`top-1 drop <= ${maxDropPoints} pt`]),
    ...(maxPerplexityRatio === undefined ? [] : [`perplexity <= ${maxPerplexityRatio}x`]),
  ].join(', ');
}

/** Returns measured figures in words; those that the data cannot give are left out. */
export function formatFigures(figures: SearchFile['curve'][number]['figures']): string {
  const { klNats, agreement, perplexityRatio, dropPoints } = figures;
  return [
    `KL ${formatDivergence(klNats)}`,
    `agreement ${formatPercent(agreement, 1)}`,
    ...(perplexityRatio === null ? [] : [`perplexity ${perplexityRatio.toFixed(4)}x`]),
    ...(dropPoints === null ? [] : [`top-1 drop ${dropPoints.toFixed(2)} pt`]),
  ].join(', ');
}
