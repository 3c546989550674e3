import type { Model } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import type { QuantizationPlan } from '../../src/quantize/quantization-plan.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { type Feeds, imageFeeds, observeRanges, textFeeds } from '../kit/run-model.ts';

/** Exports of fixtures/, with the layers that `w8a8` quantizes and the width of their logits. */
export const exports = [
  { name: 'glm-nano/dynamo-opset18', layers: 37, classes: 256 },
  { name: 'glm-nano/torchscript', layers: 37, classes: 256 },
  { name: 'glm-nano/optimum', layers: 37, classes: 256 },
  { name: 'glm-nano/genai', layers: 31, classes: 256 },
  { name: 'vit-fashion/dynamo-opset18', layers: 18, classes: 10 },
  { name: 'vit-fashion/torchscript-opset14', layers: 18, classes: 10 },
  { name: 'vit-fashion/optimum', layers: 18, classes: 10 },
];

/** Feeds of the calibration or of the held-out data. */
export function feeds(model: Model, name: string, use: 'calibrate' | 'check'): Feeds[] {
  const isCheck = use === 'check';
  return name.startsWith('vit')
    ? imageFeeds(model, isCheck ? 'test.npz' : 'calib.npz', 32)
    : textFeeds(model, isCheck ? 'heldout.txt' : 'calib.txt', 2, 128);
}

/** A plan by ranges of the calibration feeds, unsmoothed. */
export async function planFor(
  source: Model,
  name: string,
  recipe: string,
): Promise<QuantizationPlan> {
  const twin = runPasses(source, [convertToFloat32]);
  const inputs = findLinears(twin).map(({ input }) => input);
  const ranges = await observeRanges(twin, feeds(twin, name, 'calibrate'), inputs);
  return planQuantization(source, builtInRecipe(recipe), ranges);
}
