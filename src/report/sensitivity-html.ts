import type { SearchFile } from '../quantize/search/search-file.ts';
import { escapeMarkup } from './escape-markup.ts';
import { formatCount, formatPercent } from './format.ts';
import { drawKlCurve } from './kl-curve.ts';
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

/** Returns the section of an HTML report that shows a search: the curve, then the ranking. */
export function renderSensitivityHtml(search: SearchFile): string {
  const { budget, chosen, data, evaluations, groups } = search;
  const remarks = [
    ...(budget === undefined ? [] : [`Budget: ${formatBudget(budget)}.`]),
    ...(chosen === undefined
      ? []
      : [
          `Found: ${formatPercent(chosen.integerShare, 1)} of weights W8A8; ${formatFigures(chosen.figures)}.`,
        ]),
    `${evaluations} evaluations on ${data.windows} held-out windows that calibration never saw.`,
  ];
  const shown = shownGroups(groups);
  const isLocated = hasOutliers(groups);
  const rows = shown.map((group) =>
    [
      group.name,
      formatCount(group.weightCount),
      formatDivergence(group.klNats),
      formatDivergence(group.excessKl),
      ...(isLocated ? outlierCells(group) : []),
      formatChoice(group.choice),
    ]
      .map((cell) => `<td>${escapeMarkup(cell)}</td>`)
      .join(''),
  );
  const located = isLocated ? OUTLIER_HEADINGS : [];
  const head = ['group', 'weights', 'KL alone', 'adds', ...located, 'becomes']
    .map((title) => `<th>${title}</th>`)
    .join('');
  const table =
    groups.length === 0
      ? ''
      : `<table><tr>${head}</tr>\n${rows.map((row) => `<tr>${row}</tr>`).join('\n')}</table>`;
  const rest = groups.length - shown.length;
  const more = rest === 0 ? '' : `<p>${rest} less sensitive groups are in search.json.</p>`;
  return `<h2>Sensitivity</h2>\n<p>${escapeMarkup(remarks.join(' '))}</p>${drawCurve(search)}${table}${more}`;
}

function drawCurve({ curve, budget }: SearchFile): string {
  return drawKlCurve(
    curve.map(({ integerShare, figures }) => ({ share: integerShare, klNats: figures.klNats })),
    { of: 'weights with INT8 activations', limit: budget?.maxKl, end: 1 },
  );
}
