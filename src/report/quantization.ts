import type { QuantizeOutcome } from '../artifact/results.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantize/quantization-plan.ts';
import type { Saturation } from '../targets/onnx/saturation.ts';
import { renderColumns } from './columns.ts';
import { formatBytes, formatPercent, formatRatio } from './format.ts';
import { describePairs } from './pairs.ts';
import { renderSensitivity } from './sensitivity.ts';
import { withoutControls } from './without-controls.ts';
import { renderFiles } from './written-files.ts';

/** Returns a plan, and what became of it, as text: layers by role and scheme, sizes, fusion. */
export function renderQuantization(result: QuantizeOutcome): string {
  const { plan, warnings, manifest, fusion, saturation, folder, search } = withoutControls(result);
  if (manifest === undefined || folder === null) {
    return [renderPlan(plan), ...warningBlock(warnings)].join('\n\n');
  }
  const blocks = [...planBlocks(plan)];
  if (fusion !== undefined && fusion !== null) {
    const kernels = Object.entries(fusion.kernels).map(([op, count]) => `${count} ${op}`);
    blocks.push(
      [
        `Fused        ${fusion.fused} of ${fusion.planned} quantized layers (${kernels.join(', ')})`,
        ...fusion.unfused.map(({ layer, reason }) => `  not fused  ${layer}: ${reason}`),
        ...fusion.takenBack.map(
          ({ layer, scheme, reason }) => `  ${scheme.padEnd(9)}  ${layer}: ${reason}`,
        ),
        ...pairLines(saturation),
      ].join('\n'),
    );
  }
  if (search !== undefined) blocks.push(renderSensitivity(search));
  return [...blocks, renderFiles(folder, manifest), ...warningBlock(warnings)].join('\n\n');
}

/** Last, where nobody overlooks them. */
function warningBlock(warnings: readonly string[]): readonly string[] {
  return warnings.length === 0 ? [] : [warnings.map((text) => `Warning      ${text}`).join('\n')];
}

/** Returns the plan of a dry run as text. */
export function renderPlan(plan: QuantizationPlan): string {
  return [...planBlocks(withoutControls(plan)), 'Dry run: nothing was written.'].join('\n\n');
}

function planBlocks(plan: QuantizationPlan): readonly string[] {
  const { totals, recipe } = plan;
  return [
    layerTable(plan),
    [
      `Recipe       ${recipe.name}`,
      `Constants    ${formatBytes(totals.bytesBefore)} -> ${formatBytes(totals.bytesAfter)} (${formatRatio(totals.bytesAfter / totals.bytesBefore)}), ${formatPercent(totals.quantizedShare, 1)} quantized`,
      `Linear       ${formatBytes(totals.linearBytesBefore)} -> ${formatBytes(totals.linearBytesAfter)} (${formatRatio(totals.linearBytesAfter / totals.linearBytesBefore)})`,
      ...plan.embeddings.map(
        ({ name, scheme, reason }) =>
          `Embedding    ${name}: ${scheme}${reason === undefined ? '' : ` (${reason})`}`,
      ),
      ...plan.unmatchedRules.map((rule) => `Unmatched    ${rule}`),
    ].join('\n'),
  ];
}

/** Bytes of a weight that several layers share stand in the row of the first. */
function layerTable({ layers }: QuantizationPlan): string {
  const counted = new Set<string>();
  const groups = new Map<
    string,
    { layer: PlannedLayer; count: number; before: number; after: number }
  >();
  for (const layer of layers) {
    const key = JSON.stringify([layer.role, layer.scheme, layer.reason]);
    const group = groups.get(key) ?? { layer, count: 0, before: 0, after: 0 };
    const { initializer, bytesBefore, bytesAfter } = layer.weight;
    const isFirst = !counted.has(initializer);
    counted.add(initializer);
    groups.set(key, {
      layer,
      count: group.count + 1,
      before: group.before + (isFirst ? bytesBefore : 0),
      after: group.after + (isFirst ? bytesAfter : 0),
    });
  }
  return renderColumns(
    [
      { heading: 'linear layers' },
      { heading: 'count', align: 'right' },
      { heading: 'scheme' },
      { heading: 'before', align: 'right' },
      { heading: 'after', align: 'right' },
      { heading: 'why' },
    ],
    [...groups.values()].map(({ layer, count, before, after }) => [
      layer.role,
      String(count),
      layer.scheme,
      formatBytes(before),
      formatBytes(after),
      layer.reason ?? '',
    ]),
  );
}

function pairLines(saturation: Saturation | null | undefined): readonly string[] {
  if (saturation === undefined || saturation === null || saturation.products === 0) return [];
  return [`INT8 pairs   ${describePairs(saturation)}`];
}
