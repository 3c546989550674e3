import type { RunSummary } from '../artifact/results.ts';
import { renderColumns } from './columns.ts';
import { renderTerminal, type TerminalOptions } from './terminal.ts';

/** Returns a run as text: the check first, then every stage with its folder and files. */
export function renderRun(summary: RunSummary, options: TerminalOptions): string {
  const stages = renderColumns(
    [
      { heading: 'stage' },
      { heading: 'state' },
      { heading: 'seconds', align: 'right' },
      { heading: 'where' },
    ],
    summary.stages.map(({ name, state, seconds, folder, files }) => [
      name,
      state,
      state === 'done' ? seconds.toFixed(1) : '',
      files.length === 0 ? folder : `${folder} (${files.join(', ')})`,
    ]),
  );
  return summary.check === null ? stages : `${renderTerminal(summary.check, options)}\n\n${stages}`;
}
