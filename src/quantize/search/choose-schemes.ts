import type { Model } from '../../ir/model.ts';
import { planTotals } from '../plan-totals.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { type GroupChoice, isIntegerScheme, type SearchGroup } from './search-group.ts';

/**
 * Returns the plan with the layers of each group as chosen; `reasons` says why, by group. Smoothing
 * stays as planned: it is exact in float, and other layers rely on it.
 */
export function chooseSchemes(
  model: Model,
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
  choices: readonly GroupChoice[],
  reasons: readonly string[] = [],
): QuantizationPlan {
  const byLayer = new Map<string, { readonly choice: GroupChoice; readonly reason: string }>();
  groups.forEach(({ layers }, index) => {
    const choice = choices[index] ?? 'planned';
    for (const name of layers) byLayer.set(name, { choice, reason: reasons[index] ?? 'search' });
  });
  const layers = plan.layers.map((layer) => {
    const chosen = byLayer.get(layer.name);
    return chosen === undefined ? layer : withChoice(layer, chosen.choice, chosen.reason);
  });
  return { ...plan, layers, totals: planTotals(model, layers, plan.embeddings) };
}

function withChoice(layer: PlannedLayer, choice: GroupChoice, reason: string): PlannedLayer {
  if (choice === 'planned') return layer;
  if (choice === 'weight-only' && !isIntegerScheme(layer.scheme)) return layer;
  const { activation: _, weight, ...rest } = layer;
  if (choice === 'weight-only') {
    return { ...rest, weight, scheme: 'w8a16', form: 'MatMulNBits', reason };
  }
  const bytesAfter = weight.bytesBefore;
  return { ...rest, weight: { ...weight, bytesAfter }, scheme: 'float', form: 'float', reason };
}
