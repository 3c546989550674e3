import type { ExportOutcome, ExportPlan } from '../artifact/results.ts';
import { wrapText } from './format.ts';
import { renderPlan } from './quantization.ts';
import { renderTerminal, type TerminalOptions } from './terminal.ts';
import { withoutControls } from './without-controls.ts';
import { renderFiles } from './written-files.ts';

/** Lines of notes that a terminal shows; the manifest has all. */
const SHOWN = 10;

/** Returns an export as text: the check of what stands for it here, its files, who has not run it. */
export function renderExport(
  result: ExportOutcome | ExportPlan,
  options: TerminalOptions & { readonly width: number },
): string {
  if ('plan' in result) return renderPlan(withoutControls(result.plan));
  const { manifest, check, folder } = withoutControls(result);
  const { verified, notVerified, notes } = manifest;
  return [
    ...(check === null ? [] : [renderTerminal(check, options)]),
    renderFiles(folder, manifest),
    [
      ...verified.map(({ runner, device, seen }) => `verified: ${runner} on ${device}: ${seen}`),
      ...notVerified.map((line) => `not verified: ${line}`),
      ...notes.slice(0, SHOWN).map((line) => `note: ${line}`),
      ...(notes.length > SHOWN ? [`... and ${notes.length - SHOWN} more in manifest.json`] : []),
    ]
      .flatMap((line) => wrapText(line, options.width))
      .join('\n'),
  ].join('\n\n');
}
