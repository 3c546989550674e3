import type { CheckResult } from '../check/check-result.ts';
import type { KernelTimes } from '../check/kernel-times.ts';
import { figureRows } from './figure-rows.ts';
import { formatInterval, formatMilliseconds, formatRatio } from './format.ts';
import { kernelRows } from './kernel-rows.ts';

/** Returns a short GitHub-flavoured table for CI summaries and pull requests. */
export function renderMarkdown(result: CheckResult): string {
  const { artifact, source, device, runtime, latency, gates, passed } = result;
  const outcome = gates.length === 0 ? '' : passed ? ': passed' : ': **failed**';
  const lines = [
    `### ${cell(`${artifact.label} against ${source.label}`)}${outcome}`,
    '',
    '| figure | source | artifact | change |',
    '| :--- | ---: | ---: | :--- |',
    ...figureRows(result).map((row) => tableRow([row.name, row.source, row.artifact, row.change])),
    ...latency.map(({ scenario, baselineTimes, artifactTimes, ...rest }) =>
      tableRow([
        `p50 of ${scenario}, ms (source column: ${rest.baseline})`,
        formatMilliseconds(baselineTimes.p50Milliseconds),
        formatMilliseconds(artifactTimes.p50Milliseconds),
        `${formatRatio(rest.speedup)} ${formatInterval(rest.speedupInterval)} ${rest.verdict}`,
      ]),
    ),
    ...kernelTable(result.kernelTimes),
    ...(gates.length === 0
      ? []
      : ['', '| gate | measured | limit | |', '| :--- | ---: | ---: | :--- |']),
    ...gates.map(({ gate, measured, limit, passed: ok }) =>
      tableRow([gate, measured, limit, ok ? 'pass' : 'FAIL']),
    ),
    '',
    cell(`${runtime.runner} on ${device.id}: ${device.name}.`),
    ...result.notVerified.map((text) => cell(`Not verified on ${text}.`)),
  ];
  return `${lines.join('\n')}\n`;
}

function kernelTable(times: KernelTimes | null): readonly string[] {
  if (times === null) return [];
  const heads = [`kernel, ms of one ${times.scenario}`, times.baselineLabel, 'artifact', 'share'];
  return [
    '',
    tableRow(heads),
    '| :--- | ---: | ---: | ---: |',
    ...kernelRows(times).map(({ kind, baseline, artifact }) =>
      tableRow([kind, baseline[0], artifact[0], artifact[1]]),
    ),
  ];
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.map(cell).join(' | ')} |`;
}

/** File and node names may hold anything: nothing of them may end a cell or begin markup. */
function cell(text: string): string {
  const line = text.replace(/[\r\n]+/g, ' ').replaceAll('<', '&lt;');
  return line.replace(/[\\|>*_`[\]]/g, (mark) => `\\${mark}`);
}
