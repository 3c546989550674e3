import type { CheckResult, Latency } from '../check/check-result.ts';
import type { KernelTimes } from '../check/kernel-times.ts';
import type { PruningPlan } from '../prune/pruning-plan.ts';
import type { SearchFile } from '../quantize/search/search-file.ts';
import { escapeMarkup } from './escape-markup.ts';
import { figureRows } from './figure-rows.ts';
import {
  formatBytes,
  formatCount,
  formatInterval,
  formatMilliseconds,
  formatPercent,
  formatRatio,
} from './format.ts';
import { KERNEL_HEADINGS, kernelRows } from './kernel-rows.ts';
import { describePairs } from './pairs.ts';
import { renderPruningHtml } from './pruning-html.ts';
import { renderSensitivityHtml } from './sensitivity-html.ts';

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8884; text-align: right; }
:is(th, td):is(:first-child, :last-child) { text-align: left; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.pass { color: #1a7f37; } .fail { color: #cf222e; font-weight: 600; }
svg { width: 100%; height: 3rem; } svg text { font-size: 11px; fill: currentColor; }
`;

/** What lies beside an artifact and tells how it came to be. */
export interface ArtifactHistory {
  readonly search?: SearchFile | undefined;
  readonly pruning?: PruningPlan | undefined;
}

/**
 * Returns a check, with the pruning and the search behind the artifact where there were any, as one HTML file that
 * needs nothing else: no script, font, image or network.
 */
export function renderHtml(result: CheckResult, history: ArtifactHistory = {}): string {
  const { source, artifact, gates, passed } = result;
  const title = `${artifact.file} (${artifact.label}) against ${source.file} (${source.label})`;
  const outcome =
    gates.length === 0 ? '' : paragraph(passed ? 'All gates passed.' : 'A gate failed.');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeMarkup(title)}</h1>
${outcome}${[...sections(result), ...historySections(history)].join('\n')}
</body>
</html>
`;
}

function historySections({ pruning, search }: ArtifactHistory): readonly string[] {
  return [
    ...(pruning === undefined ? [] : [renderPruningHtml(pruning)]),
    ...(search === undefined ? [] : [renderSensitivityHtml(search)]),
  ];
}

function* sections(result: CheckResult): Generator<string> {
  const { gates, latency, kernelTimes, sizes, notVerified, warnings } = result;
  if (gates.length > 0) yield gateSection(result);
  yield section(
    'Figures',
    table(
      ['', 'source', 'artifact', 'change'],
      figureRows(result).map((row) => [row.name, row.source, row.artifact, row.change]),
    ),
  );
  for (const entry of latency) yield latencySection(entry);
  if (kernelTimes !== null) yield kernelSection(kernelTimes);
  yield section(
    'Files',
    table(
      ['file', 'size', 'of'],
      [
        ...sizes.source.files.map(({ file, byteLength }) => [
          file,
          formatBytes(byteLength),
          'source',
        ]),
        ...sizes.artifact.files.map(({ file, byteLength }) => [
          file,
          formatBytes(byteLength),
          'artifact',
        ]),
      ],
    ),
  );
  yield section('Where it ran', table(['', ''], conditions(result)));
  const remarks = [...notVerified.map((text) => `Not verified on ${text}`), ...warnings];
  if (remarks.length > 0) yield section('Remarks', remarks.map(paragraph).join(''));
}

function gateSection({ gates }: CheckResult): string {
  const rows = gates.map(({ gate, measured, limit, passed, text }) => {
    const outcome = `<td class="${passed ? 'pass' : 'fail'}">${passed ? 'pass' : 'FAIL'}</td>`;
    return `<tr title="${escapeMarkup(text)}">${cells([gate, measured, limit])}${outcome}</tr>`;
  });
  const head = `<tr><th>gate</th><th>measured</th><th>limit</th><th></th></tr>`;
  return section('Gates', `<table>${head}${rows.join('')}</table>`);
}

function latencySection(latency: Latency): string {
  const { scenario, device, pairs, speedup, speedupInterval, verdict } = latency;
  const sides = [
    [latency.baseline, latency.baselineTimes],
    ['artifact', latency.artifactTimes],
  ] as const;
  const times = table(
    ['milliseconds', 'min', 'p50', 'p90', 'p99', 'max', 'CV'],
    sides.map(([name, own]) => [
      name,
      formatMilliseconds(own.minMilliseconds),
      formatMilliseconds(own.p50Milliseconds),
      formatMilliseconds(own.p90Milliseconds),
      formatMilliseconds(own.p99Milliseconds),
      formatMilliseconds(own.maxMilliseconds),
      formatPercent(own.coefficientOfVariation, 1),
    ]),
  );
  const claim =
    `${formatRatio(speedup)} ${formatInterval(speedupInterval)}: ${verdict}. ` +
    `${formatCount(pairs)} interleaved pairs, end to end, 95 % bootstrap interval of the ratio of medians.`;
  return section(
    `Latency of ${scenario} on ${device}`,
    times + paragraph(claim) + intervalChart(latency),
  );
}

function kernelSection(times: KernelTimes): string {
  const { scenario, baselineLabel } = times;
  const head = [baselineLabel, 'artifact'].flatMap((side) =>
    KERNEL_HEADINGS.map((heading) => `${side}, ${heading}`),
  );
  const rows = kernelRows(times).map(({ kind, baseline, artifact }) => [
    kind,
    ...baseline,
    ...artifact,
  ]);
  return section(
    `Time by kernel of ${scenario}`,
    table(['one run by the profile of onnxruntime', ...head], rows),
  );
}

/** The interval on a line from 0 to a little past its end, with a mark at 1. */
function intervalChart({ speedup, speedupInterval }: Latency): string {
  const end = Math.max(1.2, speedupInterval.high * 1.1);
  const x = (value: number): string => ((value / end) * 600).toFixed(1);
  const { low, high } = speedupInterval;
  const width = ((Math.max(high - low, 0) / end) * 600).toFixed(1);
  return (
    `<svg viewBox="0 0 600 44" role="img" aria-label="speedup interval">` +
    `<line x1="0" y1="20" x2="600" y2="20" stroke="currentColor" stroke-opacity=".3"/>` +
    `<line x1="${x(1)}" y1="8" x2="${x(1)}" y2="32" stroke="currentColor"/>` +
    `<text x="${x(1)}" y="43" text-anchor="middle">1x</text>` +
    `<rect x="${x(low)}" y="15" width="${width}" height="10" fill="#0969da" fill-opacity=".5"/>` +
    `<circle cx="${x(speedup)}" cy="20" r="4" fill="#0969da"/></svg>`
  );
}

function conditions(result: CheckResult): readonly (readonly string[])[] {
  const { device, runtime, data, source, artifact, fusion, saturation } = result;
  return [
    ['device', `${device.id}: ${device.name} (asked for ${device.requested})`],
    ...device.notUsed.map((other) => [`not ${other.device}`, other.reason]),
    ['source outputs from', device.reference],
    ['runtime', `${runtime.runner}, autoglm ${runtime.autoglm}, Node.js ${runtime.node}`],
    ['processor', [runtime.cpu, runtime.platform, ...runtime.instructionSets].join(', ')],
    ...(data === null ? [] : [['data', `${data.name}, ${data.samples} samples, ${data.sha256}`]]),
    ['source', source.sha256],
    ['artifact', artifact.sha256],
    ...(fusion === null
      ? []
      : [['integer kernels', `${fusion.fused} of ${fusion.planned} planned`]]),
    ...(saturation === null || saturation.products === 0
      ? []
      : [['INT8 pairs', describePairs(saturation)]]),
  ];
}

function section(title: string, body: string): string {
  return `<h2>${escapeMarkup(title)}</h2>\n${body}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const titles = head.map((title) => `<th>${escapeMarkup(title)}</th>`).join('');
  const body = rows.map((row) => `<tr>${cells(row)}</tr>`).join('\n');
  return `<table><tr>${titles}</tr>\n${body}</table>`;
}

function cells(values: readonly string[]): string {
  return values.map((value) => `<td>${escapeMarkup(value)}</td>`).join('');
}

function paragraph(text: string): string {
  return `<p>${escapeMarkup(text)}</p>`;
}
