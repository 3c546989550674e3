import type { Model } from '../ir/model.ts';
import { isReached } from '../passes/open-bodies.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { planQuantization } from './plan.ts';
import type { ActivationRange, QuantizationPlan } from './quantization-plan.ts';
import { surveyModel } from './survey-model.ts';

/** A range for a plan that is made before any is known. */
const SOME_RANGE: ActivationRange = { min: -1, max: 1, calibrator: 'minmax' };

/**
 * Returns the plan of a recipe as it is before calibration: every choice that does not depend on ranges,
 * and in place of these the same for all. Throws as {@link planQuantization} does.
 */
export function planAhead(model: Model, recipe: Recipe): QuantizationPlan {
  const { opened, layers } = surveyModel(model);
  const seen = layers.filter((layer) => isReached(opened, layer));
  return planQuantization(model, recipe, new Map(seen.map(({ input }) => [input, SOME_RANGE])));
}
