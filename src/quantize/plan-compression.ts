import type { CalibrationFile } from '../calibrate/calibration-file.ts';
import { rowValues } from '../calibrate/row-sample.ts';
import { type ChannelExtremes, isSilent } from '../calibrate/statistics.ts';
import type { Model } from '../ir/model.ts';
import { createWeightKernel } from '../numerics/weight-kernel.ts';
import { convertToFloat32 } from '../passes/convert-to-float32.ts';
import { distinctNames } from '../passes/distinct-names.ts';
import { openBodies } from '../passes/open-bodies.ts';
import { runPasses } from '../passes/pass.ts';
import { builtInRecipe } from '../recipe/load.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { findOpenedLinears } from '../structure/find-linears.ts';
import { rangesOf } from './activation-ranges.ts';
import { judgeRanges, type SeenActivation } from './judge-ranges.ts';
import { planQuantization } from './plan.ts';
import type { ActivationRanges, QuantizationPlan } from './quantization-plan.ts';
import { selectSchemes } from './select-scheme.ts';
import { planSmoothing, smoothedInputs, smoothRanges } from './smooth/plan-smoothing.ts';
import { surveyModel } from './survey-model.ts';

/** What to plan with: a recipe, and what calibration saw where the recipe needs ranges. */
export interface PlanCompressionOptions {
  /** A recipe, or the name of a built-in one: `w8a8`. */
  readonly recipe: Recipe | string;
  readonly calibration?: CalibrationFile | undefined;
}

/** A plan with the ranges behind it, those of smoothed activations as they are after smoothing. */
export interface PlannedModel {
  readonly plan: QuantizationPlan;
  readonly ranges: ActivationRanges;
}

/**
 * Returns the plan of a recipe for a prepared model: scales of smoothing, ranges after it, then what
 * becomes of each layer. Plain data that prints and survives JSON. Reads weights once where there is something
 * to smooth; writes nothing. Throws UsageError for a name that no built-in recipe has, UnsupportedError for
 * a model that the recipe cannot plan.
 *
 * @example
 * ```ts
 * const { plan } = await planCompression(source.model, { recipe: 'w8a8', calibration });
 * for (const { name, scheme, reason } of plan.layers) console.log(name, scheme, reason ?? '');
 * ```
 */
export async function planCompression(
  source: Model,
  options: PlanCompressionOptions,
): Promise<PlannedModel> {
  const { calibration } = options;
  const recipe =
    typeof options.recipe === 'string' ? builtInRecipe(options.recipe) : options.recipe;
  if (calibration === undefined) {
    return { plan: planQuantization(source, recipe, new Map()), ranges: new Map() };
  }
  const model = runPasses(source, [distinctNames]);
  const twin = runPasses(model, [convertToFloat32]);
  const channels = new Map(
    [...calibration.tensors].flatMap(([name, statistics]): [string, ChannelExtremes][] =>
      statistics.channels === undefined ? [] : [[name, statistics.channels]],
    ),
  );
  const smoothing = await planSmoothing(twin, recipe, channels, createWeightKernel());
  const { activations } = recipe;
  // Clipping costs a smoothed language model more than it gains: SmolLM2-135M has perplexity x1.009
  // with whole ranges and x1.019 with the best range of each tensor.
  const isAsAsked = smoothing === undefined || activations.calibrator !== 'auto';
  const calibrator = isAsAsked ? activations.calibrator : 'minmax';
  const calibrated = rangesOf(calibration, { ...activations, calibrator }, inPlanes(twin, recipe));
  const scales = smoothedInputs(twin, smoothing);
  const smoothed = smoothRanges(calibrated, scales, channels);
  const judged = judgeRanges(smoothed, seenActivations(calibration), scales, activations.symmetric);
  const ranges = namedAsIn(model, twin, judged);
  return { plan: planQuantization(source, recipe, ranges, smoothing), ranges };
}

/** Values that layers read in two planes, which have codes enough for the whole range. */
function inPlanes(twin: Model, recipe: Recipe): ReadonlySet<string> {
  const layers = findOpenedLinears(openBodies(twin));
  const { byLayer } = selectSchemes(layers, recipe);
  const inTwo = layers.filter(({ name }) => byLayer.get(name)?.scheme === 'w8a8x2');
  return new Set(inTwo.map(({ input }) => input));
}

function seenActivations({ tensors }: CalibrationFile): ReadonlyMap<string, SeenActivation> {
  return new Map(
    [...tensors].map(([name, statistics]): [string, SeenActivation] => {
      const { min, max, rows } = statistics;
      const seen = rows?.map((row) => ({ values: rowValues(row), reach: row.reach }));
      const reach = isSilent(statistics) ? 0 : Math.max(-min, max);
      return [name, { reach, rows: seen }];
    }),
  );
}

/**
 * Returns the ranges of values of the float32 twin under the names that the layers of the source read:
 * Casts between float types are no more in the twin, and its readers have what went into them.
 */
function namedAsIn(source: Model, twin: Model, ranges: ActivationRanges): ActivationRanges {
  const layers = findOpenedLinears(openBodies(twin));
  const inputs = new Map(surveyModel(source).layers.map(({ name, input }) => [name, input]));
  const named = new Map(ranges);
  for (const { input } of layers) named.delete(input);
  for (const { name, input } of layers) {
    const range = ranges.get(input);
    if (range !== undefined) named.set(inputs.get(name) ?? input, range);
  }
  return named;
}
