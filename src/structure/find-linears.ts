import type { Model } from '../ir/model.ts';
import type { OpenedModel } from '../passes/open-bodies.ts';
import type { PassContext } from '../passes/pass.ts';
import type { LinearLayer } from './linear-layer.ts';
import { recognize } from './recognize.ts';

/** Why a layer with an integer weight is declined; `findQuantized` lists these. */
export const ALREADY_QUANTIZED = 'the weight is already quantized';

/**
 * Returns the products with a constant float weight in the main graph, in node order, each with the
 * role that its block gives it. Weights that are already quantized are left out and declined.
 */
export function findLinears(model: Model, context?: PassContext): readonly LinearLayer[] {
  return floatLayers(recognize(model, context).linears, context);
}

/**
 * Returns what {@link findLinears} does of a model with its bodies opened. `model` is `opened.model`, or what a
 * pass made of it.
 */
export function findOpenedLinears(
  opened: OpenedModel,
  model: Model = opened.model,
  context?: PassContext,
): readonly LinearLayer[] {
  return floatLayers(recognize(model, context, opened).linears, context);
}

/** Returns the layers whose weights are floats; the others are declined. */
export function floatLayers(
  layers: readonly LinearLayer[],
  context: PassContext | undefined,
): readonly LinearLayer[] {
  return layers.filter((layer) => {
    if (!isQuantized(layer)) return true;
    context?.decline({ pass: 'find-linears', node: layer.name, reason: ALREADY_QUANTIZED });
    return false;
  });
}

/** Says whether the weight is stored as integers, behind DequantizeLinear or inside MatMulNBits. */
function isQuantized(layer: LinearLayer): boolean {
  const { node, weight } = layer;
  if (node.opType === 'MatMulNBits') return true;
  return weight.path.some((step) => step.opType === 'DequantizeLinear');
}
