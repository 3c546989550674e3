import { UnsupportedError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { builtInRecipe } from '../../recipe/load.ts';
import { planAhead } from '../plan-ahead.ts';
import type { QuantizationPlan } from '../quantization-plan.ts';
import type { Forecast, ModelSummary } from './model-summary.ts';

/** Context for which memory is forecast: a screenshot and a conversation, or a long page. */
const CONTEXT_LENGTH = 4096;

/** The built-in recipes, integer products first. */
const RECIPES = [
  'w8a8',
  'w8a8-full',
  'w8a8-dynamic',
  'w8a16',
  'w4a16-g32',
  'w4a16-g64',
  'w4a16-g128',
] as const;

type Totals = Pick<
  ModelSummary,
  'parameterCount' | 'weightByteLength' | 'kvCacheByteLengthPerToken'
>;

/** Returns the size of the constants after each built-in recipe, as planned without calibration. */
export function forecastSizes(model: Model, totals: Totals): readonly Forecast[] {
  return RECIPES.map((recipe) => {
    const planned = tryPlan(model, recipe);
    const saved =
      typeof planned === 'string' ? 0 : planned.totals.bytesBefore - planned.totals.bytesAfter;
    const weightByteLength = totals.weightByteLength - saved;
    return {
      recipe,
      weightByteLength,
      ratio: totals.weightByteLength === 0 ? 1 : weightByteLength / totals.weightByteLength,
      bitsPerWeight:
        totals.parameterCount === 0 ? 0 : (8 * weightByteLength) / totals.parameterCount,
      memoryByteLength: weightByteLength + CONTEXT_LENGTH * totals.kvCacheByteLengthPerToken,
      contextLength: CONTEXT_LENGTH,
      ...(typeof planned === 'string' && { refused: planned }),
    };
  });
}

/** Returns the plan of a built-in recipe, or why there is none, without the advice to inspect the model. */
export function tryPlan(model: Model, recipe: string): QuantizationPlan | string {
  try {
    return planAhead(model, builtInRecipe(recipe));
  } catch (error) {
    if (error instanceof UnsupportedError) return error.message.replace(/(?<=\)\.) .*$/s, '');
    throw error;
  }
}
