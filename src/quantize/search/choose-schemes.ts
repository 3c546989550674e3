import type { Model } from '../../ir/model.ts';
import { isIntegerScheme } from '../../recipe/recipe.ts';
import { planTotals } from '../plan-totals.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import type { PlannedSmoothing } from '../smooth/planned-smoothing.ts';
import type { GroupChoice, SearchGroup } from './search-group.ts';

/** Why a layer that a search took back is not as the recipe has it. */
const REASON = 'search';

/** Input features that share a scale in layers that fell back. */
export const WEIGHT_BLOCK_SIZE = 32;

/** What a layer falls back to, and why. */
export interface Fallback {
  readonly choice: Exclude<GroupChoice, 'planned'>;
  readonly reason: string;
}

/**
 * Returns the plan with the layers of each group as chosen. Smoothing goes where all layers
 * behind it are float.
 */
export function chooseSchemes(
  model: Model,
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
  choices: readonly GroupChoice[],
): QuantizationPlan {
  const schemes = new Map(plan.layers.map(({ name, scheme }) => [name, scheme]));
  const fallbacks = new Map<string, Fallback>();
  groups.forEach((group, index) => {
    const choice = choices[index] ?? 'planned';
    if (choice === 'planned') return;
    for (const name of group.layers) {
      const isThere = choice === 'weight-only' && !isIntegerScheme(schemes.get(name) ?? 'float');
      if (!isThere) fallbacks.set(name, { choice, reason: REASON });
    }
  });
  return takeBack(model, plan, fallbacks);
}

/** Returns the plan with the layers of `fallbacks`, by name, taken back, and nothing smoothed for float ones alone. */
export function takeBack(
  model: Model,
  plan: QuantizationPlan,
  fallbacks: ReadonlyMap<string, Fallback>,
): QuantizationPlan {
  const shared = sharedConstants(plan);
  const layers = plan.layers.map((layer) => withFallback(layer, fallbacks.get(layer.name), shared));
  const { smoothing, ...rest } = plan;
  const needed = smoothing && neededSmoothing(smoothing, layers);
  return {
    ...rest,
    layers,
    ...(needed !== undefined && { smoothing: needed }),
    totals: planTotals(model, layers, plan.embeddings),
  };
}

/** Blocks of weights and of activations round finer behind scales, too; only float layers need none. */
function neededSmoothing(
  smoothing: PlannedSmoothing,
  layers: readonly PlannedLayer[],
): PlannedSmoothing | undefined {
  const quantized = new Set(
    layers.filter(({ scheme }) => scheme !== 'float').map(({ name }) => name),
  );
  const sites = smoothing.sites.filter((site) => site.layers.some((name) => quantized.has(name)));
  return sites.length === 0 ? undefined : { ...smoothing, sites };
}

/** Constants with more than one quantized reader, which must agree about scales. */
export function sharedConstants({ layers, embeddings }: QuantizationPlan): ReadonlySet<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const { initializer } of [
    ...layers.map(({ weight }) => weight),
    ...embeddings.map(({ table }) => table),
  ]) {
    if (seen.has(initializer)) shared.add(initializer);
    seen.add(initializer);
  }
  return shared;
}

/** Layers fall back to blocks, the most exact of the INT8 weights. */
function withFallback(
  layer: PlannedLayer,
  fallback: Fallback | undefined,
  shared: ReadonlySet<string>,
): PlannedLayer {
  if (fallback === undefined) return layer;
  const { choice, reason } = fallback;
  const { activation: _, weight, ...rest } = { ...layer, reason };
  if (choice === 'weight-only') {
    const inBlocks = layer.inFeatures % WEIGHT_BLOCK_SIZE === 0 && !shared.has(weight.initializer);
    const chosen = inBlocks ? weightInBlocks(weight, layer) : weight;
    return { ...rest, weight: chosen, scheme: 'w8a16', form: 'MatMulNBits' };
  }
  const bytesAfter = weight.bytesBefore;
  return { ...rest, weight: { ...weight, bytesAfter }, scheme: 'float', form: 'float' };
}

function weightInBlocks(
  weight: PlannedLayer['weight'],
  { inFeatures, outFeatures }: PlannedLayer,
): PlannedLayer['weight'] {
  const count = inFeatures * outFeatures;
  return {
    ...weight,
    bytesAfter: count + (4 * count) / WEIGHT_BLOCK_SIZE,
    blockSize: WEIGHT_BLOCK_SIZE,
  };
}
