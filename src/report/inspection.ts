import type { BlockSummary, ModelSummary } from '../passes/model-summary.ts';
import type { Inspection } from '../workflows/inspect.ts';
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
    `Quantizable  ${summary.quantizable.layerCount} layers, ${formatPercent(summary.quantizable.weightByteShare, 1)} of weight bytes`,
    renderColumns(
      [
        { heading: 'forecast' },
        { heading: 'bytes', align: 'right' },
        { heading: 'ratio', align: 'right' },
      ],
      summary.forecasts.map(({ recipe, weightByteLength }) => [
        recipe,
        formatBytes(weightByteLength),
        formatRatio(weightByteLength / summary.weightByteLength),
      ]),
    ),
    ...declined(summary, options.width),
  ].join('\n\n');
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

function declined({ declined: all }: ModelSummary, width: number): readonly string[] {
  if (all.length === 0) return [];
  const lines = all
    .slice(0, 5)
    .flatMap(({ node, reason }) => wrapText(`${node}: ${reason}`, width));
  return [`Not recognised (${all.length}):\n${lines.join('\n')}`];
}
