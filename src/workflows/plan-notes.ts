import type { QuantizationPlan } from '../quantize/quantization-plan.ts';
import { isIntegerScheme } from '../recipe/recipe.ts';

/**
 * Returns the line that says that a recipe which smooths where it can found nothing to smooth, or
 * undefined when it did, or when no layer would gain by it.
 */
export function smoothingNote({ recipe, smoothing, layers }: QuantizationPlan): string | undefined {
  if (recipe.smoothing !== 'auto' || smoothing !== undefined) return undefined;
  if (!layers.some(({ scheme }) => isIntegerScheme(scheme))) return undefined;
  return (
    `recipe ${recipe.name}: no activation was smoothed: "auto" smooths models of text, and gated ` +
    'FFNs, where the scales fold into a norm or layer before.'
  );
}
