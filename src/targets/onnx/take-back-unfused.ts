import type { Model } from '../../ir/model.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import {
  type Fallback,
  sharedConstants,
  takeBack,
  WEIGHT_BLOCK_SIZE,
} from '../../quantize/search/choose-schemes.ts';
import { type FusionAudit, NOT_FUSED } from './audit-fusion.ts';

/**
 * Returns the plan without the layers that `audit` found unfused, which would run slower than float: they
 * get INT8 weights in blocks, an operator that onnxruntime has as it is, or stay float where blocks do
 * not divide the input features. Layers that share a weight with others stay as they are, so that no
 * weight is stored twice. The same plan when there is nothing to take back.
 */
export function takeBackUnfused(
  model: Model,
  plan: QuantizationPlan,
  audit: FusionAudit,
): QuantizationPlan {
  const shared = sharedConstants(plan);
  const byName = new Map(plan.layers.map((layer) => [layer.name, layer]));
  const fallbacks = audit.unfused.flatMap(({ layer: name, ranAs }): [string, Fallback][] => {
    const layer = byName.get(name);
    if (layer === undefined || !canFallBack(layer, shared)) return [];
    const choice = layer.inFeatures % WEIGHT_BLOCK_SIZE === 0 ? 'weight-only' : 'float';
    return [[name, { choice, reason: `${NOT_FUSED} (ran as ${ranAs ?? 'part of another node'})` }]];
  });
  return fallbacks.length === 0 ? plan : takeBack(model, plan, new Map(fallbacks));
}

/** 4-bit weights and weights in blocks have no other form. */
function canFallBack({ scheme, weight }: PlannedLayer, shared: ReadonlySet<string>): boolean {
  if (scheme === 'w4a16' || weight.blockSize !== undefined) return false;
  return !shared.has(weight.initializer);
}
