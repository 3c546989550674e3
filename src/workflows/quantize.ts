import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_NAME, readManifest } from '../artifact/manifest.ts';
import { type ModelOnDisk, openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { QuantizeOutcome } from '../artifact/results.ts';
import type { CalibrationFile } from '../calibrate/calibration-file.ts';
import { planAhead } from '../quantize/plan-ahead.ts';
import { parseQuantizationFile } from '../quantize/quantization-file.ts';
import { budgetOf } from '../quantize/search/budget-options.ts';
import { SEARCH_NAME } from '../quantize/search/search-file.ts';
import {
  defaultScheme,
  isCalibratedScheme,
  isIntegerScheme,
  type Recipe,
  type Scheme,
} from '../recipe/recipe.ts';
import { writeThroughStaging } from '../storage/replace-folder.ts';
import { runConfig } from './pipeline/run-config.ts';
import type { Reporter } from './progress.ts';
import type { PipelineConfig } from './project/pipeline-config.ts';
import {
  dataChoice,
  refuseWithConfig,
  requireData,
  requireOwnOutput,
  resolveRequest,
  type VerbOptions,
} from './project/resolve-request.ts';
import { requireSound } from './proof/require-sound.ts';
import { historyBeside } from './search/artifact-history.ts';
import { type SearchOptions, searchedRecipe, searchRequestOf } from './search/search-request.ts';
import { CALIBRATION_NAME, calibrateInto, readCalibration } from './stages/calibrate-model.ts';
import { oneKindWarnings } from './stages/kinds-of-text.ts';
import { planModel } from './stages/plan-model.ts';
import { planWarnings } from './stages/plan-notes.ts';
import { loadRecipe, QUANTIZED_FILES, quantizeInto } from './stages/quantize-model.ts';
import { requireQuantizable, requireSearchable } from './stages/require-possible.ts';

/** Options of `quantize`. */
export interface QuantizeOptions extends VerbOptions, SearchOptions {
  readonly recipe?: string | undefined;
  readonly calibration?: string | undefined;
  readonly activations?: 'float32' | 'float16' | undefined;
}

/** Quantizes the model that was named, or the config's into its stage folder. */
export async function quantize(
  options: QuantizeOptions,
  reporter: Reporter,
): Promise<QuantizeOutcome> {
  const request = await resolveRequest(options);
  if (request.kind === 'config') return quantizeConfig(request.config, options, reporter);
  const { source } = request;
  const isSearch = budgetOf(options) !== undefined;
  const named = options.recipe ?? 'w8a8';
  const recipe = await loadRecipe(isSearch ? searchedRecipe(named) : named, {
    activations: options.activations,
  });
  if (options.dryRun === true) {
    requireQuantizable(source.model, recipe, false);
    if (isSearch) reporter.note('A dry run does not search: this is the plan that it starts from.');
    return planOnly(source, recipe, options.calibration);
  }
  const output = await requireOwnOutput(options, source, 'quantize');
  const search = isSearch
    ? searchRequestOf(options, dataChoice(options, requireData(options, 'a budget')), output)
    : undefined;
  const isCalibrated =
    gainsFromCalibration(recipe) && (options.calibration ?? options.data) !== undefined;
  requireQuantizable(source.model, recipe, isCalibrated);
  if (search !== undefined) await requireSearchable(source, recipe, search);
  const result = await writeThroughStaging(
    output,
    {
      force: options.force ?? false,
      mode: 'merge',
      expected: [
        ...Object.values(QUANTIZED_FILES),
        ...(isSearch ? [SEARCH_NAME] : []),
        ...(isCalibrated && options.calibration === undefined ? [CALIBRATION_NAME] : []),
        MANIFEST_NAME,
      ],
    },
    async (folder) => {
      const { calibration, data } = await calibrationFor(
        folder,
        { options, source, recipe },
        reporter,
      );
      const choice = options.data === undefined ? undefined : dataChoice(options, options.data);
      const chosen = { source, recipe, calibration, data, choice, search };
      return quantizeInto(folder, chosen, reporter);
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
      ...config.quantize,
      recipe: options.recipe ?? config.quantize.recipe,
      activations: options.activations ?? config.quantize.activations,
      ...chosenBudget(options),
    },
  };
  if (options.dryRun === true) {
    const recipe = await loadRecipe(chosen.quantize.recipe, chosen.quantize);
    const source = await openModelOnDisk(chosen.model);
    requireQuantizable(source.model, recipe, false);
    return planOnly(source, recipe, options.calibration);
  }
  refuseWithConfig('--calibration', options.calibration, config);
  const { force = false } = options;
  await runConfig(chosen, { until: 'quantize', force, dryRun: false }, reporter);
  return readQuantized(join(chosen.output, 'quantize'));
}

async function readQuantized(folder: string): Promise<QuantizeOutcome> {
  const path = join(folder, QUANTIZED_FILES.plan);
  const { plan } = parseQuantizationFile(await readFile(path, 'utf8'), path);
  const { search } = await historyBeside(folder);
  const manifest = await readManifest(folder);
  return {
    schema: 'autoglm.quantize/1',
    folder,
    plan,
    manifest,
    fusion: manifest.fusion ?? null,
    saturation: manifest.saturation ?? null,
    ...(search !== undefined && { search }),
    // Notes on rules are among what is printed of the plan.
    warnings: manifest.notes.slice(plan.unmatchedRules.length),
  };
}

/** The limits that were typed, in place of those of the config. */
function chosenBudget(options: QuantizeOptions): SearchOptions {
  const { maxKl, maxDrop, maxPerplexityRatio, searchSamples } = options;
  return {
    ...(maxKl !== undefined && { maxKl }),
    ...(maxDrop !== undefined && { maxDrop }),
    ...(maxPerplexityRatio !== undefined && { maxPerplexityRatio }),
    ...(searchSamples !== undefined && { searchSamples }),
  };
}

/** Returns the plan of a dry run. Without a calibration it has every choice but no ranges and scales. */
export async function planOnly(
  source: ModelOnDisk,
  recipe: Recipe,
  calibration: string | undefined,
): Promise<QuantizeOutcome> {
  if (calibration !== undefined || !needsRanges(recipe)) {
    const read = await readGiven(calibration, source, recipe);
    const { plan } = await planModel({ source, recipe, calibration: read });
    const warnings = [...planWarnings(plan), ...oneKindWarnings(source.model, plan, read)];
    return { schema: 'autoglm.quantize/1', folder: null, plan, warnings };
  }
  await requireSound(source);
  const plan = planAhead(source.model, recipe);
  const layers = plan.layers.map(({ activation: _, ...layer }) => layer);
  return {
    schema: 'autoglm.quantize/1',
    folder: null,
    plan: { ...plan, layers },
    warnings: planWarnings(plan),
  };
}

/** The calibration that was given, or one made now from the data; weight-only recipes can do without. */
async function calibrationFor(
  folder: string,
  request: {
    readonly options: QuantizeOptions;
    readonly source: ModelOnDisk;
    readonly recipe: Recipe;
  },
  reporter: Reporter,
): Promise<{
  calibration: CalibrationFile | undefined;
  data?: { path: string; sha256: string };
}> {
  const { options, source, recipe } = request;
  if (!gainsFromCalibration(recipe)) return { calibration: undefined };
  if (options.calibration !== undefined) {
    return { calibration: await readGiven(options.calibration, source, recipe) };
  }
  if (options.data === undefined && !needsRanges(recipe)) return { calibration: undefined };
  const path = requireData(options, `recipe ${recipe.name}`);
  const made = await calibrateInto(folder, { source, choice: dataChoice(options, path) }, reporter);
  return { calibration: made, data: { path, sha256: made.data.sha256 } };
}

async function readGiven(
  calibration: string | undefined,
  source: ModelOnDisk,
  recipe: Recipe,
): Promise<CalibrationFile | undefined> {
  if (calibration === undefined || !gainsFromCalibration(recipe)) return undefined;
  const file = calibration.endsWith('.json') ? calibration : join(calibration, CALIBRATION_NAME);
  return readCalibration(file, source);
}

/**
 * Says whether a recipe makes anything of a calibration: it needs one, has INT8 weights to smooth, or INT8
 * activations that might lose most of what they stand for.
 */
function gainsFromCalibration(recipe: Recipe): boolean {
  const isSmoothed = recipe.smoothing !== 'none' && defaultScheme(recipe) === 'w8a16';
  return isSmoothed || schemesOf(recipe).includes('w8a8-dynamic') || needsRanges(recipe);
}

/** Says whether a recipe needs to know activations: their ranges, or what smoothing evens out. */
export function needsRanges(recipe: Recipe): boolean {
  const schemes = schemesOf(recipe);
  const isSmoothed = recipe.smoothing !== 'none' && schemes.includes('w8a8-dynamic');
  return isSmoothed || schemes.some(isCalibratedScheme);
}

/** The schemes that a recipe may give a layer, whatever the model is. */
function schemesOf(recipe: Recipe): readonly Scheme[] {
  const usual = defaultScheme(recipe);
  const named = recipe.rules.map(({ scheme }) => scheme);
  if (recipe.head !== 'weight-only') named.push(recipe.head);
  if (recipe.gatedDown === 'w8a8x2' && isIntegerScheme(usual)) named.push(recipe.gatedDown);
  return [usual, ...named];
}
