import type { Model } from '../ir/model.ts';
import type { LinearLayer } from './linear-layer.ts';
import type { PassContext } from './pass.ts';
import { recognize } from './recognize.ts';

/**
 * Returns the products with a constant float weight in the main graph, in node order, each with the
 * role that its block gives it. Weights that are already quantized are left out and declined.
 */
export function findLinears(model: Model, context?: PassContext): readonly LinearLayer[] {
  return recognize(model, context).linears.filter((layer) => {
    if (!isQuantized(layer)) return true;
    const reason = 'the weight is already quantized';
    context?.decline({ pass: 'find-linears', node: layer.name, reason });
    return false;
  });
}

/** Says whether the weight is stored as integers, behind DequantizeLinear or inside MatMulNBits. */
export function isQuantized(layer: LinearLayer): boolean {
  const { node, weight } = layer;
  if (node.opType === 'MatMulNBits') return true;
  return weight.path.some((step) => step.opType === 'DequantizeLinear');
}
