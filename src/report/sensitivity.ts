import type { SearchFile, SearchPoint } from '../quantize/search/search-file.ts';
import { renderColumns } from './columns.ts';
import { formatCount, formatPercent } from './format.ts';
import {
  formatBudget,
  formatChoice,
  formatDivergence,
  formatFigures,
  hasOutliers,
  OUTLIER_HEADINGS,
  outlierCells,
  shownGroups,
} from './search-figures.ts';

/** Returns what a search measured as text: the ranking of groups and the curve. */
export function renderSensitivity(
  search: SearchFile,
  options: { readonly all?: boolean } = {},
): string {
  const { chosen, data, evaluations, groups } = search;
  const head = [
    ...(search.budget === undefined ? [] : [`Budget       ${formatBudget(search.budget)}`]),
    ...(chosen === undefined
      ? []
      : [`Found        ${describeShares(chosen)}; ${formatFigures(chosen.figures)}`]),
    `Measured     ${evaluations} evaluations on ${data.windows} held-out windows`,
  ].join('\n');
  const shown = options.all === true ? groups : shownGroups(groups);
  const hidden = groups.length - shown.length;
  const isLocated = hasOutliers(groups);
  const ranking = renderColumns(
    [
      { heading: 'most sensitive first' },
      { heading: 'weights', align: 'right' },
      { heading: 'KL alone', align: 'right' },
      { heading: 'adds', align: 'right' },
      ...(isLocated ? OUTLIER_HEADINGS.map((heading) => ({ heading })) : []),
      ...(chosen === undefined ? [] : [{ heading: 'becomes' }]),
    ],
    shown.map((group) => [
      group.name,
      formatCount(group.weightCount),
      formatDivergence(group.klNats),
      formatDivergence(group.excessKl),
      ...(isLocated ? outlierCells(group) : []),
      ...(chosen === undefined ? [] : [formatChoice(group.choice)]),
    ]),
  );
  return [
    head,
    ...(groups.length === 0 ? [] : [ranking]),
    ...(hidden === 0 ? [] : [`... and ${hidden} less sensitive`]),
    renderCurve(search.curve),
  ].join('\n\n');
}

function renderCurve(curve: readonly SearchPoint[]): string {
  return renderColumns(
    [
      { heading: 'W8A8', align: 'right' },
      { heading: 'weight-only', align: 'right' },
      { heading: 'KL', align: 'right' },
      { heading: 'agreement', align: 'right' },
      { heading: 'perplexity', align: 'right' },
      { heading: 'drop', align: 'right' },
    ],
    curve.map(({ integerShare, weightOnlyShare, figures }) => [
      formatPercent(integerShare, 1),
      formatPercent(weightOnlyShare, 1),
      formatDivergence(figures.klNats),
      formatPercent(figures.agreement, 1),
      figures.perplexityRatio === null ? '-' : `${figures.perplexityRatio.toFixed(4)}x`,
      figures.dropPoints === null ? '-' : `${figures.dropPoints.toFixed(2)} pt`,
    ]),
  );
}

function describeShares({ integerShare, weightOnlyShare, groups }: SearchPoint): string {
  const float = groups.float === 0 ? '' : `, ${groups.float} groups float`;
  return `${formatPercent(integerShare, 1)} W8A8, ${formatPercent(weightOnlyShare, 1)} weight-only${float}`;
}
