import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { CalibrationFile } from '../../calibrate/calibration-file.ts';
import { rowValues } from '../../calibrate/row-sample.ts';
import { type ChannelExtremes, isSilent } from '../../calibrate/statistics.ts';
import type { Model } from '../../ir/model.ts';
import { createWeightKernel } from '../../numerics/weight-kernel.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { distinctNames } from '../../passes/distinct-names.ts';
import { openBodies } from '../../passes/open-bodies.ts';
import { runPasses } from '../../passes/pass.ts';
import { judgeRanges, type SeenActivation } from '../../quantize/judge-ranges.ts';
import { planQuantization } from '../../quantize/plan.ts';
import type { ActivationRanges, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import {
  planSmoothing,
  smoothedInputs,
  smoothRanges,
} from '../../quantize/smooth/plan-smoothing.ts';
import { surveyModel } from '../../quantize/survey-model.ts';
import type { Recipe } from '../../recipe/recipe.ts';
import { findOpenedLinears } from '../../structure/find-linears.ts';
import { requireSound } from '../proof/require-sound.ts';
import { rangesOf } from './calibrate-model.ts';

/** What to plan: a float model, a recipe, and what calibration saw where the recipe needs it. */
export interface PlanRequest {
  readonly source: ModelOnDisk;
  readonly recipe: Recipe;
  readonly calibration: CalibrationFile | undefined;
}

/** A plan with the ranges behind it, those of smoothed activations as they are after smoothing. */
export interface PlannedModel {
  readonly plan: QuantizationPlan;
  readonly ranges: ActivationRanges;
}

/**
 * Returns the plan of a recipe: scales of smoothing, ranges after it, then what becomes of each layer.
 * Reads weights once where there is something to smooth.
 */
export async function planModel(request: PlanRequest): Promise<PlannedModel> {
  const { source, recipe, calibration } = request;
  await requireSound(source);
  if (calibration === undefined) {
    return { plan: planQuantization(source.model, recipe, new Map()), ranges: new Map() };
  }
  const model = runPasses(source.model, [distinctNames]);
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
  const calibrated = rangesOf(calibration, { ...activations, calibrator });
  const scales = smoothedInputs(twin, smoothing);
  const smoothed = smoothRanges(calibrated, scales, channels);
  const judged = judgeRanges(smoothed, seenActivations(calibration), scales, activations.symmetric);
  const ranges = namedAsIn(model, twin, judged);
  return { plan: planQuantization(source.model, recipe, ranges, smoothing), ranges };
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
