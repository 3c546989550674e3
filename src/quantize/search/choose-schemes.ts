import type { Model } from '../../ir/model.ts';
import { planTotals } from '../plan-totals.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { type GroupChoice, isIntegerScheme, type SearchGroup } from './search-group.ts';

/** Why a layer that a search took back is not as the recipe has it. */
const REASON = 'search';

/**
 * Returns the plan with the layers of each group as chosen. Smoothing stays as planned: it is exact
 * in float, and other layers rely on it.
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
  return { ...plan, layers, totals: planTotals(model, layers, plan.embeddings) };
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
