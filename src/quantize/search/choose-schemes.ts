import type { Model } from '../../ir/model.ts';
import { planTotals } from '../plan-totals.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import type { PlannedSmoothing } from '../smooth/planned-smoothing.ts';
import { type GroupChoice, isIntegerScheme, type SearchGroup } from './search-group.ts';

/** Why a layer that a search took back is not as the recipe has it. */
const REASON = 'search';

/**
 * Returns the plan with the layers of each group as chosen. Smoothing goes where no layer behind it
 * has INT8 activations any more.
 */
export function chooseSchemes(
  model: Model,
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
  choices: readonly GroupChoice[],
): QuantizationPlan {
  const byLayer = new Map<string, GroupChoice>();
  groups.forEach((group, index) => {
    for (const name of group.layers) byLayer.set(name, choices[index] ?? 'planned');
  });
  const layers = plan.layers.map((layer) => withChoice(layer, byLayer.get(layer.name)));
  const { smoothing, ...rest } = plan;
  const needed = smoothing && neededSmoothing(smoothing, layers);
  return {
    ...rest,
    layers,
    ...(needed !== undefined && { smoothing: needed }),
    totals: planTotals(model, layers, plan.embeddings),
  };
}

/** Scales serve the quantized inputs behind them. Where none is left they only make weights uneven. */
function neededSmoothing(
  smoothing: PlannedSmoothing,
  layers: readonly PlannedLayer[],
): PlannedSmoothing | undefined {
  const integer = new Set(
    layers.filter(({ scheme }) => isIntegerScheme(scheme)).map(({ name }) => name),
  );
  const sites = smoothing.sites.filter((site) => site.layers.some((name) => integer.has(name)));
  return sites.length === 0 ? undefined : { ...smoothing, sites };
}

function withChoice(layer: PlannedLayer, choice: GroupChoice | undefined): PlannedLayer {
  if (choice === undefined || choice === 'planned') return layer;
  if (choice === 'weight-only' && !isIntegerScheme(layer.scheme)) return layer;
  const { activation: _, weight, ...rest } = { ...layer, reason: REASON };
  if (choice === 'weight-only') {
    return { ...rest, weight, scheme: 'w8a16', form: 'MatMulNBits' };
  }
  const bytesAfter = weight.bytesBefore;
  return { ...rest, weight: { ...weight, bytesAfter }, scheme: 'float', form: 'float' };
}
