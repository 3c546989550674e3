import type { CheckResult, GateResult, Latency, LatencySummary } from '../check/check-result.ts';
import type { KernelTimes } from '../check/kernel-times.ts';
import { figureRows } from './figure-rows.ts';
import {
  formatCount,
  formatInterval,
  formatMilliseconds,
  formatPercent,
  formatRate,
  formatRatio,
  wrapText,
} from './format.ts';
import { KERNEL_HEADINGS, kernelRows } from './kernel-rows.ts';
import { describePairs } from './pairs.ts';
import { withoutControls } from './without-controls.ts';

/** How a table is drawn. */
export interface TerminalOptions {
  /** Columns of the terminal; 80 when absent. Lines pass it for single long words alone. */
  readonly width?: number;
  /** ANSI colours; the caller honours NO_COLOR. Off when absent. */
  readonly color?: boolean;
}

/** Width of the labels of paragraphs. */
const LABEL = 14;

/** Returns a check as a table of fixed columns, always with the same blocks in the same order. */
export function renderTerminal(check: CheckResult, options: TerminalOptions = {}): string {
  const { width = 80, color = false } = options;
  const result = withoutControls(check);
  const paint = color ? painted : (text: string): string => text;
  const blocks = [
    header(result, width),
    figures(result, width, paint),
    ...result.latency.map((latency) => latencyBlock(latency, width, paint)),
    kernelBlock(result.kernelTimes, width, paint),
    placement(result, width),
    gates(result.gates, width, paint),
    remarks(result, width),
  ];
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => line.trimEnd()).join('\n'))
    .join('\n\n');
}

type Paint = (text: string, style: 'good' | 'bad' | 'strong') => string;

function painted(text: string, style: 'good' | 'bad' | 'strong'): string {
  const code = { good: 32, bad: 31, strong: 1 }[style];
  return `\u001b[${code}m${text}\u001b[0m`;
}

function header(result: CheckResult, width: number): readonly string[] {
  const { source, artifact, device, runtime, data } = result;
  const sets = runtime.instructionSets.length > 0 ? ` (${runtime.instructionSets.join(', ')})` : '';
  const threads = runtime.threads === null ? '' : `, ${runtime.threads} threads`;
  return [
    ...paragraph('Source', `${source.file}, ${source.label}`, width),
    ...paragraph('Artifact', `${artifact.file}, ${artifact.label}`, width),
    ...paragraph('Device', `${device.id}: ${device.name}${sets}${threads}`, width),
    ...device.notUsed.flatMap((other) =>
      paragraph('', `not ${other.device}: ${gist(other.reason)}`, width),
    ),
    ...paragraph('Runtime', `${runtime.runner}; source outputs from ${device.reference}`, width),
    ...(data === null
      ? paragraph('Data', 'none, accuracy was not measured', width)
      : paragraph('Data', `${data.name}, ${formatCount(data.samples)} held-out samples`, width)),
  ];
}

/** The head of a reason: `doctor` and check.json say where from and what to do. */
function gist(reason: string): string {
  return reason.split(/: | \(|\. /)[0] ?? reason;
}

function figures(result: CheckResult, width: number, paint: Paint): readonly string[] {
  const rows = figureRows(result);
  const name = Math.min(34, Math.max(24, ...rows.map((row) => row.name.length + 1)));
  const column = 11;
  const line = (a: string, b: string, c: string, d: string): string =>
    `${clip(a, name).padEnd(name)}${b.padStart(column)}${c.padStart(column)}  ${d}`.trimEnd();
  const rest = width - name - 2 * column - 2;
  return [
    paint(line('', 'source', 'artifact', shorten('change [95 % interval]', rest)), 'strong'),
    ...rows.map((row) => line(row.name, row.source, row.artifact, shorten(row.change, rest))),
  ];
}

const TIME_COLUMNS = [
  ['min', 'minMilliseconds'],
  ['mean', 'meanMilliseconds'],
  ['p50', 'p50Milliseconds'],
  ['p90', 'p90Milliseconds'],
  ['p99', 'p99Milliseconds'],
  ['max', 'maxMilliseconds'],
] as const satisfies readonly (readonly [string, keyof LatencySummary])[];

const CELL = 8;

function latencyBlock(latency: Latency, width: number, paint: Paint): readonly string[] {
  const { baselineTimes, artifactTimes, verdict, itemsPerRun } = latency;
  // Below 72 columns the mean and the extremes give way: a name of 16 and seven cells do not fit.
  const columns =
    width < 72 ? TIME_COLUMNS.filter(([title]) => title.startsWith('p')) : TIME_COLUMNS;
  const name = Math.min(24, width - CELL * (columns.length + 1));
  const line = (label: string, cells: readonly string[]): string =>
    clip(label, name - 1).padEnd(name) + cells.map((cell) => cell.padStart(CELL)).join('');
  const times = (label: string, summary: LatencySummary): string =>
    line(label, [
      ...columns.map(([, key]) => formatMilliseconds(summary[key])),
      formatPercent(summary.coefficientOfVariation, 1),
    ]);
  const rate = (summary: LatencySummary): string =>
    formatRate((1000 * (itemsPerRun?.count ?? 0)) / summary.p50Milliseconds);
  const style = { faster: 'good', slower: 'bad', 'no measurable difference': 'strong' } as const;
  return [
    ...wrapText(
      `Latency of ${latency.scenario} on ${latency.device}: milliseconds end to end, ` +
        `${formatCount(latency.pairs)} interleaved pairs`,
      width,
    ),
    paint(line('', [...columns.map(([title]) => title), 'CV']), 'strong'),
    times(latency.baseline, baselineTimes),
    times('artifact', artifactTimes),
    `Speedup ${formatRatio(latency.speedup)} ${formatInterval(latency.speedupInterval)} (95 %): ` +
      paint(verdict, style[verdict]),
    ...(itemsPerRun === null
      ? []
      : [`${rate(baselineTimes)} -> ${rate(artifactTimes)} ${itemsPerRun.unit}/s`]),
  ];
}

function kernelBlock(times: KernelTimes | null, width: number, paint: Paint): readonly string[] {
  if (times === null) return [];
  const widths = [9, 7, 7];
  // Below 72 columns the calls give way.
  const cells = width < 72 ? 2 : 3;
  const name = Math.min(24, width - 2 * widths.slice(0, cells).reduce((sum, cell) => sum + cell));
  const side = (texts: readonly string[]): string =>
    widths
      .map((cell, index) => (index < cells ? (texts[index] ?? '').padStart(cell) : ''))
      .join('');
  const line = (kind: string, a: readonly string[], b: readonly string[]): string =>
    clip(kind, name).padEnd(name) + side(a) + side(b);
  const half = side([]).length;
  const owners = [times.baselineLabel, 'artifact'].map((label) => label.padStart(half)).join('');
  return [
    ...wrapText(`Time by kernel of ${times.scenario}: one run by onnxruntime's profile`, width),
    paint(' '.repeat(name) + owners, 'strong'),
    paint(line('', KERNEL_HEADINGS, KERNEL_HEADINGS), 'strong'),
    ...kernelRows(times).map(({ kind, baseline, artifact }) => line(kind, baseline, artifact)),
  ];
}

function placement(
  { fusion, fallbackNodes, saturation }: CheckResult,
  width: number,
): readonly string[] {
  const lines: string[] = [];
  if (fusion !== null) {
    const kernels = Object.entries(fusion.kernels).map(([name, count]) => `${count} ${name}`);
    const list = kernels.length > 0 ? `: ${kernels.sort().join(', ')}` : '';
    const text = `${fusion.fused} of ${fusion.planned} planned layers run as integer kernels${list}`;
    lines.push(...paragraph('Fusion', text, width));
    for (const { layer, reason } of fusion.unfused) {
      lines.push(...paragraph('', `${layer}: ${reason}`, width));
    }
  }
  if (saturation !== null && saturation.products > 0) {
    lines.push(...paragraph('INT8 pairs', describePairs(saturation), width));
  }
  for (const { node, opType, device } of fallbackNodes) {
    lines.push(...paragraph('Fell back', `${node} (${opType}) ran on ${device}`, width));
  }
  return lines;
}

function gates(results: readonly GateResult[], width: number, paint: Paint): readonly string[] {
  if (results.length === 0) return [];
  const failed = results.filter(({ passed }) => !passed);
  return [
    paint(`${'Gates'.padEnd(28)}${'measured'.padStart(16)}${'limit'.padStart(16)}`, 'strong'),
    ...results.map(({ gate, measured, limit, passed }) => {
      const mark = passed ? paint('pass', 'good') : paint('FAIL', 'bad');
      return `  ${mark}  ${gate.padEnd(20)}${measured.padStart(16)}${limit.padStart(16)}`;
    }),
    ...failed.flatMap(({ text }) => wrapText(text, width)),
  ];
}

function remarks({ notVerified, warnings }: CheckResult, width: number): readonly string[] {
  return [
    ...notVerified.flatMap((text) => paragraph('Not verified', `on ${text}`, width)),
    ...warnings.flatMap((text) => paragraph('Warning', text, width)),
  ];
}

function paragraph(label: string, text: string, width: number): readonly string[] {
  return wrapText(text, width - LABEL).map(
    (line, index) => (index === 0 ? label : '').padEnd(LABEL) + line,
  );
}

/** Leaves the interval out where there is no room for it: half an interval would mislead. */
function shorten(change: string, length: number): string {
  return change.length <= length ? change : clip(change.split(' [')[0] ?? '', length);
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, Math.max(0, length - 3))}...`;
}
