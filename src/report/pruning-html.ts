import type { PruningPlan } from '../prune/pruning-plan.ts';
import { escapeMarkup } from './escape-markup.ts';
import { formatCount, formatPercent } from './format.ts';
import { drawKlCurve } from './kl-curve.ts';
import { formatFigures } from './search-figures.ts';

/** Returns the section of an HTML report that shows what was pruned: groups and, where a share was searched, KL over it. */
export function renderPruningHtml(plan: PruningPlan): string {
  const rows = plan.groups
    .filter(({ removed }) => removed.length > 0)
    .map(({ name, kind, unitCount, removed, importance }) =>
      [
        name,
        kind,
        formatCount(unitCount),
        formatCount(unitCount - removed.length),
        formatPercent(removed.length / unitCount),
        importance,
      ]
        .map((cell) => `<td>${escapeMarkup(cell)}</td>`)
        .join(''),
    );
  const head = ['group', 'kind', 'of', 'kept', 'removed', 'ranked by']
    .map((title) => `<th>${title}</th>`)
    .join('');
  const table = `<table><tr>${head}</tr>\n${rows.map((row) => `<tr>${row}</tr>`).join('\n')}</table>`;
  return `<h2>Pruning</h2>\n${searchPart(plan)}${table}`;
}

function searchPart({ search, amount }: PruningPlan): string {
  if (search === undefined) return '';
  const { budget, windows, curve } = search;
  const tried = curve.map(
    (point) =>
      `<tr><td>${formatPercent(point.amount, 1)}</td><td>${escapeMarkup(formatFigures(point.figures))}</td></tr>`,
  );
  const limit = /KL <= ([\d.e-]+)/.exec(budget)?.[1];
  const chart = drawKlCurve(
    curve.map((point) => ({ share: point.amount, klNats: point.figures.klNats })),
    {
      of: 'channels and heads removed',
      limit: limit === undefined ? undefined : Number(limit),
      end: Math.max(...curve.map((point) => point.amount)),
    },
  );
  const remark =
    `Limits: ${budget}. Found: ${formatPercent(amount, 1)} of each layer. ` +
    `${curve.length} shares measured on ${windows} held-out samples.`;
  return `<p>${escapeMarkup(remark)}</p>${chart}<table><tr><th>share</th><th>figures</th></tr>\n${tried.join('\n')}</table>`;
}
