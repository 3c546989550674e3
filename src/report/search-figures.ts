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
  return signed(nats);
}

function signed(value: number): string {
  return value < 0 ? `-${formatSignificant(-value, 3)}` : formatSignificant(value, 3);
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

/** Returns the calibrated range of a group's input, `-` where there is none. */
function formatRange({ range }: SearchFile['groups'][number]): string {
  if (range === undefined) return '-';
  return `${signed(range.min)}..${signed(range.max)}`;
}

/** Returns where the largest value sits, and how far all else reaches, as two cells. */
function formatOutliers({ outliers }: SearchFile['groups'][number]): readonly [string, string] {
  if (outliers === undefined) return ['-', '-'];
  const { largest, token, channel, otherTokens, typical } = outliers;
  const number = (value: number): string => formatSignificant(value, 3);
  return [
    `${number(largest)} (${token}, ${channel})`,
    `${number(otherTokens)}, ${number(typical)}`,
  ];
}

/** Headings of what {@link outlierCells} gives. */
export const OUTLIER_HEADINGS = [
  'range',
  'largest (token, channel)',
  'other tokens, typical',
] as const;

/** Returns the cells under {@link OUTLIER_HEADINGS}. */
export function outlierCells(group: SearchFile['groups'][number]): readonly string[] {
  return [formatRange(group), ...formatOutliers(group)];
}

/** Says whether anybody looked for outliers of any group. */
export function hasOutliers(groups: SearchFile['groups']): boolean {
  return groups.some(({ outliers }) => outliers !== undefined);
}
