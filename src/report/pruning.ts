import type { PruneOutcome } from '../artifact/results.ts';
import type { PlannedGroup, PruningPlan } from '../prune/pruning-plan.ts';
import { renderColumns } from './columns.ts';
import { formatCount, formatPercent } from './format.ts';
import { formatFigures } from './search-figures.ts';
import { renderTerminal } from './terminal.ts';

/** Declined products listed one by one; the rest are counted. */
const MOST_DECLINED = 8;

/** Returns what pruning removed, and the check of the result, for a terminal. */
export function renderPruning(outcome: PruneOutcome): string {
  const { plan, pruning, recovered, warnings, folder, check } = outcome;
  const lines = [
    `Pruning      ${formatPercent(plan.amount, 0)} by ${plan.importance}`,
    ...(pruning === undefined
      ? []
      : [
          `Parameters   ${formatCount(pruning.parametersBefore)} -> ${formatCount(pruning.parametersAfter)} ` +
            `(${formatPercent(pruning.parametersAfter / pruning.parametersBefore - 1)})`,
          `Proof        ${pruning.proof}`,
        ]),
    ...(recovered === undefined || recovered.length === 0
      ? []
      : [`Recovery     ${describeRecovery(recovered)}`]),
    ...searchLines(plan),
    ...declinedLines(plan),
    ...warnings.map((warning) => `Warning      ${warning}`),
    ...(folder === null ? [] : [`Written to   ${folder}`]),
  ];
  const blocks = [groupTable(plan), lines.join('\n')];
  return [...blocks, ...(check === null ? [] : [renderTerminal(check)])].join('\n\n');
}

/** Groups that fared alike, in one row. */
function groupTable({ groups }: PruningPlan): string {
  const rows = new Map<string, { group: PlannedGroup; names: string[] }>();
  for (const group of groups) {
    const { kind, unitCount, blockCount, removed, asked, importance, reason } = group;
    const key = JSON.stringify([
      kind,
      unitCount,
      blockCount,
      removed.length,
      asked,
      importance,
      reason,
    ]);
    const row = rows.get(key) ?? { group, names: [] };
    row.names.push(group.name);
    rows.set(key, row);
  }
  return renderColumns(
    [
      { heading: 'groups' },
      { heading: 'count', align: 'right' },
      { heading: 'of', align: 'right' },
      { heading: 'asked', align: 'right' },
      { heading: 'kept', align: 'right' },
      { heading: 'removed', align: 'right' },
      { heading: 'ranked by' },
      { heading: 'why' },
    ],
    [...rows.values()].map(({ group, names }) => [
      group.kind,
      String(names.length),
      formatCount(group.unitCount),
      formatCount(group.unitCount - group.asked),
      formatCount(group.unitCount - group.removed.length),
      formatPercent(group.removed.length / group.unitCount),
      group.importance,
      group.reason ?? '',
    ]),
  );
}

function searchLines({ search }: PruningPlan): readonly string[] {
  if (search === undefined) return [];
  return [
    `Search       the most with ${search.budget}, on ${formatCount(search.windows)} held-out samples`,
    ...search.curve.map(
      ({ amount, figures }) =>
        `             ${formatPercent(amount, 1)}: ${formatFigures(figures)}`,
    ),
  ];
}

function describeRecovery(recovered: NonNullable<PruneOutcome['recovered']>): string {
  const accepted = recovered.filter(({ errorRatio }) => errorRatio < 1);
  const how = recovered[0]?.how === 'bias' ? 'the bias' : 'least squares';
  if (accepted.length === 0) return `none of ${recovered.length} weights gained from ${how}`;
  const ratios = accepted.map(({ errorRatio }) => errorRatio);
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  return (
    `${how} in ${accepted.length} of ${recovered.length} weights leaves ${formatPercent(mean, 1)} of the ` +
    'error of their outputs on samples that were not fitted (mean)'
  );
}

/** Products that read the residual stream are declined by nature; what else there is deserves a line. */
function declinedLines({ declined, groups }: PruningPlan): readonly string[] {
  const unusual = declined.filter(
    ({ reason }) => !/residual width|over the channels|of the model$/.test(reason),
  );
  const shown = groups.length === 0 ? declined : unusual;
  const lines = shown
    .slice(0, MOST_DECLINED)
    .map(({ name, node, reason }) => `Left alone   ${name}: ${reason} (${node})`);
  const rest = shown.length - lines.length;
  return rest > 0 ? [...lines, `Left alone   and ${rest} more: see --json`] : lines;
}
