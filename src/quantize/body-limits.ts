import type { Body } from '../passes/open-bodies.ts';
import { INT8_BLOCK_SIZE, int4Settings, type Recipe } from '../recipe/recipe.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';
import type { SelectedScheme } from './select-scheme.ts';

/** Where a layer lies. */
export interface BodyPlace {
  readonly body: Body | undefined;
  /** Whether its input can be observed. */
  readonly isReached: boolean;
}

/**
 * Returns what becomes of a layer that lies in a body: its choice, or float where that has no form there.
 * onnxruntime (1.30) refuses to load a model with a weight-only DequantizeLinear in a body whose weight lies
 * in the graph around it, but takes MatMulNBits there, which has blocks.
 */
export function withinBody(
  { inFeatures }: Pick<LinearLayer, 'inFeatures'>,
  choice: SelectedScheme,
  place: BodyPlace,
  recipe: Recipe,
): SelectedScheme {
  const { body, isReached } = place;
  if (body === undefined) return choice;
  const { label } = body;
  if (choice.scheme === 'w4a16' && int4Settings(recipe).rounding !== 'rtn' && !isReached) {
    const reason = `lies in ${label}, where its input cannot be observed`;
    return withinBody({ inFeatures }, { scheme: 'w8a16', reason }, place, recipe);
  }
  if (choice.scheme === 'w4a16' && int4Settings(recipe).form === 'qdq') {
    const reason = `lies in ${label}, where onnxruntime takes no 4-bit DequantizeLinear`;
    return { scheme: 'float', reason };
  }
  if (choice.scheme === 'w8a16' && inFeatures % INT8_BLOCK_SIZE !== 0) {
    const reason = `lies in ${label}, where weights alone take blocks of ${INT8_BLOCK_SIZE}`;
    return { scheme: 'float', reason };
  }
  return choice;
}
