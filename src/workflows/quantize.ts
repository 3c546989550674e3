import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findLinears } from '../passes/find-linears.ts';
import { parseQuantizationFile } from '../quantize/quantization-file.ts';
import type { ActivationRange, ActivationRanges } from '../quantize/quantization-plan.ts';
import { defaultScheme, type Recipe } from '../recipe/recipe.ts';
import { writeThroughStaging } from '../storage/staging-folder.ts';
import { CALIBRATION_NAME, calibrateInto, rangesOf, readCalibration } from './calibrate-model.ts';
import { readManifest } from './manifest.ts';
import { type ModelOnDisk, openModelOnDisk } from './model-identity.ts';
import { runConfig } from './pipeline.ts';
import type { PipelineConfig } from './pipeline-config.ts';
import type { Reporter } from './progress.ts';
import {
  loadRecipe,
  planModel,
  QUANTIZED_FILES,
  type QuantizeResult,
  quantizeInto,
} from './quantize-model.ts';
import {
  dataChoice,
  refuseWithConfig,
  requireData,
  requireOwnOutput,
  resolveRequest,
  type VerbOptions,
} from './resolve-request.ts';

/** Options of `quantize`. */
export interface QuantizeOptions extends VerbOptions {
  readonly recipe?: string | undefined;
  readonly calibration?: string | undefined;
  readonly activations?: 'float32' | 'float16' | undefined;
}

/** What `quantize` prints: the result and where it lies (null for a dry run). */
export interface QuantizeOutcome extends QuantizeResult {
  readonly folder: string | null;
}

/** Quantizes the model that was named, or the config's into its stage folder. */
export async function quantize(
  options: QuantizeOptions,
  reporter: Reporter,
): Promise<QuantizeOutcome> {
  const request = await resolveRequest(options);
  if (request.kind === 'config') return quantizeConfig(request.config, options, reporter);
  const { source } = request;
  const recipe = await loadRecipe(options.recipe ?? 'w8a8', { activations: options.activations });
  if (options.dryRun === true) return planOnly(source, recipe, options.calibration);
  const output = await requireOwnOutput(options, source, 'quantize');
  const result = await writeThroughStaging(
    output,
    {
      force: options.force ?? false,
      mode: 'merge',
      expected: Object.values(QUANTIZED_FILES),
    },
    async (folder) => {
      const { ranges, data } = await rangesFor(folder, { options, source, recipe }, reporter);
      return quantizeInto(folder, { source, recipe, ranges, data }, reporter);
    },
  );
  return { ...result, folder: output };
}

async function quantizeConfig(
  config: PipelineConfig,
  options: QuantizeOptions,
  reporter: Reporter,
): Promise<QuantizeOutcome> {
  const chosen: PipelineConfig = {
    ...config,
    quantize: {
      recipe: options.recipe ?? config.quantize.recipe,
      activations: options.activations ?? config.quantize.activations,
    },
  };
  if (options.dryRun === true) {
    const recipe = await loadRecipe(chosen.quantize.recipe, chosen.quantize);
    return planOnly(await openModelOnDisk(chosen.model), recipe, options.calibration);
  }
  refuseWithConfig('--calibration', options.calibration, config);
  const { force = false } = options;
  await runConfig(chosen, { until: 'quantize', force, dryRun: false }, reporter);
  return readQuantized(join(chosen.output, 'quantize'));
}

async function readQuantized(folder: string): Promise<QuantizeOutcome> {
  const path = join(folder, QUANTIZED_FILES.plan);
  const { plan } = parseQuantizationFile(await readFile(path, 'utf8'), path);
  return { schema: 'autoglm.quantize/1', folder, plan, manifest: await readManifest(folder) };
}

/** Returns the plan of a dry run. Without a calibration it has every choice but no ranges and scales. */
export async function planOnly(
  source: ModelOnDisk,
  recipe: Recipe,
  calibration: string | undefined,
): Promise<QuantizeOutcome> {
  if (calibration !== undefined || !needsRanges(recipe)) {
    const ranges = await readRanges(calibration, source, recipe);
    const plan = planModel({ source, recipe, ranges });
    return { schema: 'autoglm.quantize/1', folder: null, plan };
  }
  const anywhere = new Map(
    findLinears(source.model).map(({ input }): [string, ActivationRange] => [
      input,
      { min: -1, max: 1, calibrator: 'minmax' },
    ]),
  );
  const plan = planModel({ source, recipe, ranges: anywhere });
  const layers = plan.layers.map(({ activation: _, ...layer }) => layer);
  return { schema: 'autoglm.quantize/1', folder: null, plan: { ...plan, layers } };
}

/** Ranges from a calibration that was given, or made now from the data; none for weight-only recipes. */
async function rangesFor(
  folder: string,
  request: {
    readonly options: QuantizeOptions;
    readonly source: ModelOnDisk;
    readonly recipe: Recipe;
  },
  reporter: Reporter,
): Promise<{ ranges: ActivationRanges; data?: { path: string; sha256: string } }> {
  const { options, source, recipe } = request;
  if (!needsRanges(recipe)) return { ranges: new Map() };
  if (options.calibration !== undefined) {
    return { ranges: await readRanges(options.calibration, source, recipe) };
  }
  const path = requireData(options, `recipe ${recipe.name}`);
  const made = await calibrateInto(folder, { source, choice: dataChoice(options, path) }, reporter);
  return {
    ranges: rangesOf(made, recipe.activations),
    data: { path, sha256: made.data.sha256 },
  };
}

async function readRanges(
  calibration: string | undefined,
  source: ModelOnDisk,
  recipe: Recipe,
): Promise<ActivationRanges> {
  if (calibration === undefined || !needsRanges(recipe)) return new Map();
  const file = calibration.endsWith('.json') ? calibration : join(calibration, CALIBRATION_NAME);
  return rangesOf(await readCalibration(file, source), recipe.activations);
}

/** Says whether a recipe quantizes activations anywhere. */
export function needsRanges(recipe: Recipe): boolean {
  return (
    defaultScheme(recipe) === 'w8a8' ||
    recipe.head === 'w8a8' ||
    recipe.rules.some(({ scheme }) => scheme === 'w8a8')
  );
}
