/** What a graph and a recipe tell by themselves is refused here, before the first sample is run. */

import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { runPasses } from '../../passes/pass.ts';
import { planAhead } from '../../quantize/plan-ahead.ts';
import { requireSites } from '../../quantize/smooth/plan-smoothing.ts';
import type { Recipe } from '../../recipe/recipe.ts';
import { applyQuantization } from '../../targets/onnx/apply.ts';
import { loweringOf } from '../../targets/onnx/lowering.ts';
import type { ShapeRange, ShapeRanges } from '../../targets/shapes.ts';
import { openData } from '../project/open-data.ts';
import { noText } from '../search/require-figures.ts';
import { refuseBodies, refuseFourBits, type SearchRequest } from '../search/search-plan.ts';
import { findLogits, noWindow } from '../search/window-bench.ts';
import type { ChosenTarget } from './choose-target.ts';
import { engineShapes } from './engine-shapes.ts';
import { requireIntegers } from './quantize-model.ts';

/**
 * Throws what quantizing this model by this recipe is sure to throw: nothing to quantize, an opset or element
 * type that no form knows and, with a calibration, smoothing that the recipe demands and no activation
 * allows. Reads no weight.
 */
export function requireQuantizable(model: Model, recipe: Recipe, isCalibrated: boolean): void {
  const plan = planAhead(model, recipe);
  if (isCalibrated) requireSites(runPasses(model, [convertToFloat32]), recipe);
  const lowering = loweringOf(recipe);
  requireIntegers(plan, lowering);
  applyQuantization(model, plan, { lowering, moments: noMoments });
}

/** Throws what exporting this model by this recipe to a target is sure to throw. Reads no weight. */
export function requireExportable(
  model: Model,
  recipe: Recipe,
  { writer, options }: ChosenTarget,
  known: { readonly shapes: ShapeRanges; readonly isCalibrated: boolean },
): void {
  const plan = planAhead(model, recipe);
  if (known.isCalibrated) requireSites(runPasses(model, [convertToFloat32]), recipe);
  const shapes = writer.isShaped
    ? new Map([...anyShapes(model), ...engineShapes(model, known.shapes)])
    : new Map();
  writer.lower({ model, plan, options, shapes, moments: noMoments });
}

/** Weights are rounded when a writer pulls them, and here none does. */
async function noMoments(): Promise<never> {
  throw new Error('moments are not known before calibration');
}

/** A shape for every input, where the samples will give one. */
function anyShapes({ graph }: Model): ReadonlyMap<string, ShapeRange> {
  const one = { min: [1], opt: [1], max: [1] };
  return new Map(graph.inputs.map(({ name }): [string, ShapeRange] => [name, one]));
}

/**
 * Throws what a search by this recipe is sure to throw on these data: 4-bit weights, no logits, no held-out
 * samples, perplexity without text.
 */
export async function requireSearchable(
  source: ModelOnDisk,
  recipe: Recipe,
  { budget, choice }: SearchRequest,
): Promise<void> {
  const plan = planAhead(source.model, recipe);
  refuseFourBits(plan);
  refuseBodies(plan);
  const dataset = await openData(choice, source);
  findLogits(source.model.graph.outputs, dataset);
  if ((await dataset.count('heldOut')) === 0) throw noWindow(dataset);
  if (budget.maxPerplexityRatio !== undefined && dataset.kind !== 'text') throw noText();
}
