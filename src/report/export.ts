import type { ExportResult } from '../workflows/export-model.ts';
import { formatBytes } from './format.ts';
import { renderTerminal, type TerminalOptions } from './terminal.ts';

/** Returns an export as text: the check of what stands for it here, its files, who has not run it. */
export function renderExport({ manifest, check }: ExportResult, options: TerminalOptions): string {
  const { files, verified, notVerified, notes } = manifest;
  return [
    renderTerminal(check, options),
    [
      ...files.map(({ file, byteLength }) => `${file}  ${formatBytes(byteLength)}`),
      ...verified.map(({ runner, device, seen }) => `verified: ${runner} on ${device}: ${seen}`),
      ...notVerified.map((line) => `not verified: ${line}`),
      ...notes.slice(0, 10).map((line) => `note: ${line}`),
    ].join('\n'),
  ].join('\n\n');
}
