import type { Inspection } from '../artifact/results.ts';
import type { BlockSummary, ModelSummary } from '../quantize/inspect/model-summary.ts';
import { renderColumns } from './columns.ts';
import { formatBytes, formatCount, formatPercent, formatRatio, wrapText } from './format.ts';
import { withoutControls } from './without-controls.ts';

/** Returns what `inspect` found as text: totals, blocks, layers, forecasts. */
export function renderInspection(
  inspection: Inspection,
  options: { readonly width: number },
): string {
  const { path, files, summary } = withoutControls(inspection);
  const bytes = files.reduce((total, { byteLength }) => total + byteLength, 0);
  return [
    [
      `Model        ${path}`,
      `Files        ${files.length}, ${formatBytes(bytes)}`,
      `Producer     ${summary.producer ?? 'unknown'}, IR ${summary.irVersion}, ${opsets(summary)}`,
      `Parameters   ${formatCount(summary.parameterCount)}, ${formatBytes(summary.weightByteLength)}, ${summary.bitsPerWeight.toFixed(2)} bits per weight`,
      `Nodes        ${formatCount(summary.nodeCount)}`,
      `Inputs       ${summary.inputs.slice(0, 4).map(describeValue).join(', ')}${more(summary.inputs.length, 4)}`,
      `Outputs      ${summary.outputs.slice(0, 2).map(describeValue).join(', ')}${more(summary.outputs.length, 2)}`,
      ...(summary.kvCacheByteLengthPerToken > 0
        ? [`KV cache     ${formatBytes(summary.kvCacheByteLengthPerToken)} per token`]
        : []),
    ].join('\n'),
    blocks(summary.blocks),
    `Norms        ${forms(summary.norms)}\nActivations  ${forms(summary.activations)}`,
    renderColumns(
      [
        { heading: 'linear layers' },
        { heading: 'count', align: 'right' },
        { heading: 'parameters', align: 'right' },
        { heading: 'bytes', align: 'right' },
      ],
      summary.linears.map(({ role, count, parameterCount, byteLength }) => [
        role,
        formatCount(count),
        formatCount(parameterCount),
        formatBytes(byteLength),
      ]),
    ),
    ...inBodies(summary),
    bytesByFate(summary, options.width),
    ...forecasts(summary, options.width),
    ...declined(summary, options.width),
    ...onGrid(inspection, options.width),
  ].join('\n\n');
}

/** What a recipe would quantize, what is quantized already, and what neither touches. */
function bytesByFate(summary: ModelSummary, width: number): string {
  const { quantizable, alreadyQuantized, notQuantized, weightByteLength } = summary;
  const { layerCount, tableCount, weightByteShare } = quantizable;
  const counts = [
    `${layerCount} ${layerCount === 1 ? 'layer' : 'layers'}`,
    ...(tableCount === 0 ? [] : [`${tableCount} token ${tableCount === 1 ? 'table' : 'tables'}`]),
  ].join(', ');
  const already = alreadyQuantized.map(
    ({ kind, form, count, byteLength }) =>
      `${count} ${form}${kind === 'table' ? ' (table)' : ''} ${formatBytes(byteLength)}`,
  );
  const large = notQuantized.filter(({ byteLength }) => byteLength >= MIN_SHARE * weightByteLength);
  const left = large.slice(0, 6).map(({ op, byteLength }) => `${op} ${formatBytes(byteLength)}`);
  return [
    `Quantizable  ${counts}, ${formatPercent(weightByteShare, 1)} of weight bytes`,
    ...labelled('Quantized    already: ', already, width),
    ...labelled('Left float   by w8a8: ', left, width),
  ].join('\n');
}

/** Operators that hold less of the weight bytes than this are not worth a word. */
const MIN_SHARE = 0.01;

function labelled(label: string, entries: readonly string[], width: number): readonly string[] {
  if (entries.length === 0) return [];
  const [first = '', ...rest] = wrapText(entries.join(', '), width - label.length);
  return [`${label}${first}`, ...rest.map((line) => `${' '.repeat(label.length)}${line}`)];
}

/** Sizes after the recipes; when all refuse the model, why. */
function forecasts(
  { forecasts: all, weightByteLength }: ModelSummary,
  width: number,
): readonly string[] {
  const planned = all.filter(({ refused }) => refused === undefined);
  if (planned.length === 0) {
    const [first] = all;
    return first?.refused === undefined ? [] : [wrapText(first.refused, width).join('\n')];
  }
  const rows = planned.map(({ recipe, weightByteLength: bytes }) => [
    recipe,
    formatBytes(bytes),
    formatRatio(bytes / weightByteLength),
  ]);
  return [
    renderColumns(
      [
        { heading: 'forecast' },
        { heading: 'bytes', align: 'right' },
        { heading: 'ratio', align: 'right' },
      ],
      rows,
    ),
  ];
}

function inBodies({ bodies }: ModelSummary): readonly string[] {
  if (bodies.length === 0) return [];
  return [bodies.map(({ body, layerCount }) => `In bodies    ${layerCount} in ${body}`).join('\n')];
}

function opsets({ opsets: imports }: ModelSummary): string {
  return imports
    .map(({ domain, version }) => `${domain === '' ? 'opset' : domain} ${version}`)
    .join(', ');
}

function describeValue({ name, dataType, shape }: ModelSummary['inputs'][number]): string {
  const dims = shape?.map((dim) => dim ?? '?').join(', ') ?? '?';
  return `${name} ${dataType ?? ''}[${dims}]`;
}

function more(count: number, shown: number): string {
  return count > shown ? `, and ${count - shown} more` : '';
}

function blocks(all: readonly BlockSummary[]): string {
  if (all.length === 0) return 'Blocks       none recognised';
  const groups = new Map<string, number>();
  for (const block of all) {
    const key = describeBlock(block);
    groups.set(key, (groups.get(key) ?? 0) + 1);
  }
  return `Blocks       ${[...groups].map(([key, count]) => `${count} x ${key}`).join('\n             ')}`;
}

function describeBlock(block: BlockSummary): string {
  if (block.kind === 'ffn') {
    return `ffn: ${block.gated ? 'gated ' : ''}${block.activation}, width ${block.width}`;
  }
  const { heads, kvHeads, headDim, form } = block;
  return `attention (${form}): ${heads ?? '?'} heads, ${kvHeads ?? '?'} KV heads of ${headDim ?? '?'}`;
}

function forms(
  all: readonly { readonly kind: string; readonly form: string; readonly count: number }[],
): string {
  if (all.length === 0) return 'none';
  return all.map(({ kind, form, count }) => `${count} ${kind} (${form})`).join(', ');
}

function onGrid({ weightGrids }: Inspection, width: number): readonly string[] {
  const { sampled, onGrid: found } = weightGrids;
  if (found.length === 0) return [];
  const warning =
    `${found.length} of ${sampled.length} sampled linear layers lie on at most 16 levels in each block of 32 ` +
    'weights: they were stored in 4 bits once. Rounding them to 4 bits again loses next to nothing, ' +
    'which says nothing about the model in float.';
  return [labelled('Warning      ', [warning], width).join('\n')];
}

function declined({ declined: all }: ModelSummary, width: number): readonly string[] {
  if (all.length === 0) return [];
  const byReason = new Map<string, string[]>();
  for (const { node, reason } of all) byReason.set(reason, [...(byReason.get(reason) ?? []), node]);
  const lines = [...byReason].slice(0, 8).flatMap(([reason, [first = '', ...others]]) => {
    const who = others.length === 0 ? first : `${first} and ${others.length} more`;
    return wrapText(`${who}: ${reason}`, width);
  });
  return [`Not recognised (${all.length}):\n${lines.join('\n')}`];
}
