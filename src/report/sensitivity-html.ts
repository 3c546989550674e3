import type { SearchFile, SearchPoint } from '../quantize/search/search-file.ts';
import { escapeMarkup } from './escape-markup.ts';
import { formatCount, formatPercent } from './format.ts';
import {
  formatBudget,
  formatChoice,
  formatDivergence,
  formatFigures,
  shownGroups,
} from './search-figures.ts';

const WIDTH = 600;
const HEIGHT = 180;
const MARGIN = { left: 60, bottom: 30, top: 10 } as const;

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
  const rows = shown.map(({ name, weightCount, klNats, excessKl, choice }) =>
    [
      name,
      formatCount(weightCount),
      formatDivergence(klNats),
      formatDivergence(excessKl),
      formatChoice(choice),
    ]
      .map((cell) => `<td>${escapeMarkup(cell)}</td>`)
      .join(''),
  );
  const head = ['group', 'weights', 'KL alone', 'adds', 'becomes']
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

/** KL over the share of weights with INT8 activations; the limit of the KL as a dashed line. */
function drawCurve({ curve, budget }: SearchFile): string {
  const points = curve.flatMap(({ integerShare, figures }) =>
    figures.klNats === null ? [] : [{ share: integerShare, kl: figures.klNats }],
  );
  if (points.length < 2) return '';
  const limit = budget?.maxKl;
  const top = 1.05 * Math.max(...points.map(({ kl }) => kl), limit ?? 0, Number.MIN_VALUE);
  const x = (share: number): number => MARGIN.left + share * (WIDTH - MARGIN.left - 10);
  const y = (kl: number): number =>
    MARGIN.top + (1 - Math.max(kl, 0) / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const at = ({ share, kl }: { share: number; kl: number }): string =>
    `${x(share).toFixed(1)},${y(kl).toFixed(1)}`;
  const bottom = y(0).toFixed(1);
  const dots = points
    .map((point) => `<circle cx="${at(point).replace(',', '" cy="')}" r="3" fill="#0969da"/>`)
    .join('');
  const limitLine =
    limit === undefined
      ? ''
      : `<line x1="${MARGIN.left}" y1="${y(limit).toFixed(1)}" x2="${WIDTH}" y2="${y(limit).toFixed(1)}" stroke="#cf222e" stroke-dasharray="4"/>`;
  const label = (share: number): string =>
    `<text x="${x(share).toFixed(1)}" y="${HEIGHT - 8}" text-anchor="middle">${100 * share} %</text>`;
  return (
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" style="height:${HEIGHT}px" role="img" aria-label="KL over the share of weights with INT8 activations">` +
    `<line x1="${MARGIN.left}" y1="${bottom}" x2="${WIDTH}" y2="${bottom}" stroke="currentColor" stroke-opacity=".3"/>` +
    `<text x="4" y="${(y(top / 1.05) + 4).toFixed(1)}">${formatDivergence(top / 1.05)}</text>` +
    `<text x="4" y="${bottom}">KL 0</text>${[0, 0.25, 0.5, 0.75, 1].map(label).join('')}${limitLine}` +
    `<polyline points="${sorted(points).map(at).join(' ')}" fill="none" stroke="#0969da"/>${dots}</svg>`
  );
}

function sorted(
  points: readonly { readonly share: SearchPoint['integerShare']; readonly kl: number }[],
): readonly { readonly share: number; readonly kl: number }[] {
  return [...points].sort((a, b) => a.share - b.share || a.kl - b.kl);
}
