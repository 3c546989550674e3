import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { CalibrationFile } from '../../calibrate/calibration-file.ts';
import { type PlannedModel, planCompression } from '../../quantize/plan-compression.ts';
import type { Recipe } from '../../recipe/recipe.ts';
import { requireSound } from '../proof/require-sound.ts';

/** What to plan: a float model, a recipe, and what calibration saw where the recipe needs it. */
export interface PlanRequest {
  readonly source: ModelOnDisk;
  readonly recipe: Recipe;
  readonly calibration: CalibrationFile | undefined;
}

/** Returns the plan of a recipe for a source that can be transformed at all; throws what `requireSound` throws. */
export async function planModel(request: PlanRequest): Promise<PlannedModel> {
  const { source, recipe, calibration } = request;
  await requireSound(source);
  return planCompression(source.model, { recipe, calibration });
}
