import type { PrunableOutcome } from '../artifact/results.ts';
import type { PrunableGroup } from '../prune/prunable.ts';
import { renderColumns } from './columns.ts';
import { formatBytes, formatCount, formatPercent, wrapText } from './format.ts';
import { withoutControls } from './without-controls.ts';

/** Reasons listed one by one; the rest are counted. */
const MOST_REASONS = 8;

/** Returns what can be pruned as text: groups that are alike in one row, then what is left alone and why. */
export function renderPrunable(
  outcome: PrunableOutcome,
  { width }: { readonly width: number },
): string {
  const { path, parameterCount, byteLength, groups, declined } = withoutControls(outcome);
  return [
    [
      `Model        ${path}`,
      `Parameters   ${formatCount(parameterCount)}, ${formatBytes(byteLength)}`,
      `Prunable     ${describe(groups)}`,
    ].join('\n'),
    ...(groups.length === 0 ? [] : [table(groups)]),
    ...leftAlone(declined, width),
  ].join('\n\n');
}

function describe(groups: readonly PrunableGroup[]): string {
  if (groups.length === 0) return 'nothing';
  const count = `${groups.length} ${groups.length === 1 ? 'group' : 'groups'}`;
  // A filter between two convolutions belongs to the group that it makes and to the one that it reads.
  if (groups.some(({ kind }) => kind === 'channels')) return `${count}, neighbours share filters`;
  const share = groups.reduce((sum, group) => sum + group.share, 0);
  return `${formatPercent(share, 1)} of the parameters, in ${count}`;
}

function table(groups: readonly PrunableGroup[]): string {
  const rows = new Map<string, { group: PrunableGroup; count: number; share: number }>();
  for (const group of groups) {
    const { name: _, ...figures } = group;
    const key = JSON.stringify(figures);
    const row = rows.get(key) ?? { group, count: 0, share: 0 };
    rows.set(key, { ...row, count: row.count + 1, share: row.share + group.share });
  }
  return renderColumns(
    [
      { heading: 'groups' },
      { heading: 'count', align: 'right' },
      { heading: 'units', align: 'right' },
      { heading: 'step', align: 'right' },
      { heading: 'steps', align: 'right' },
      { heading: 'parameters', align: 'right' },
      { heading: 'bytes', align: 'right' },
      { heading: 'share', align: 'right' },
      { heading: 'such as' },
    ],
    [...rows.values()].map(({ group, count, share }) => [
      group.kind,
      String(count),
      formatCount(group.units),
      String(group.step),
      String(group.steps),
      formatCount(group.parametersPerStep),
      formatBytes(group.bytesPerStep),
      formatPercent(share, 1),
      group.name,
    ]),
  );
}

/** Products by the reason for which their channels stay, each with the first node in the way. */
function leftAlone(declined: PrunableOutcome['declined'], width: number): readonly string[] {
  if (declined.length === 0) return [];
  const byReason = new Map<string, string[]>();
  for (const { node, reason } of declined)
    byReason.set(reason, [...(byReason.get(reason) ?? []), node]);
  const lines = [...byReason]
    .slice(0, MOST_REASONS)
    .flatMap(([reason, [first = '', ...others]]) => {
      const who = others.length === 0 ? first : `${first} and ${others.length} more`;
      return wrapText(`${who}: ${reason}`, width);
    });
  const rest = byReason.size - MOST_REASONS;
  const more = rest > 0 ? [`and ${rest} more reasons: see --json`] : [];
  return [[`Left alone (${declined.length}):`, ...lines, ...more].join('\n')];
}
