import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { RunSummary } from '../../artifact/results.ts';
import type { CheckResult } from '../../check/check-result.ts';
import { parseCheckResult } from '../../check/check-result-schema.ts';
import { enforceGates } from '../../check/gates.ts';
import { budgetOf } from '../../quantize/search/budget-options.ts';
import type { Recipe } from '../../recipe/recipe.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import { VERSION } from '../../version.ts';
import { STAGE_NAMES, type StageName } from '../choices.ts';
import type { Reporter } from '../progress.ts';
import { searchCacheFolder } from '../search/search-cache.ts';
import type { SearchRequest } from '../search/search-plan.ts';
import { searchedRecipe, searchRequestOf } from '../search/search-request.ts';
import { CALIBRATION_NAME, calibrateInto, readCalibration } from '../stages/calibrate-model.ts';
import { writeTables } from '../stages/calibration-tables.ts';
import { CHECK_FILES, checkInto } from '../stages/check-into.ts';
import { checkPruned } from '../stages/check-pruned.ts';
import { parseShapes } from '../stages/engine-shapes.ts';
import { exportInto } from '../stages/export-model.ts';
import { pruneInto } from '../stages/prune-model.ts';
import { loadRecipe, QUANTIZED_FILES, quantizeInto } from '../stages/quantize-model.ts';
import {
  requireExportable,
  requireQuantizable,
  requireSearchable,
} from '../stages/require-possible.ts';
import { openData } from './open-data.ts';
import type { PipelineConfig } from './pipeline-config.ts';
import { runStages, type Stage, type StageOptions } from './stages.ts';

/** Name of the summary in the output folder. */
export const RUN_NAME = 'run.json';

/**
 * Runs the stages of a config up to `until` (all when absent), skipping those that are up to date,
 * and writes `run.json`. With `dryRun` nothing is written.
 */
export async function runConfig(
  config: PipelineConfig,
  options: StageOptions & { readonly until?: StageName | undefined },
  reporter: Reporter,
): Promise<RunSummary> {
  const source = await openModelOnDisk(config.model);
  reporter.note(`model: ${source.path}`);
  const stages = pipelineStages(config, source);
  const last = options.until ?? 'check';
  const wanted = stages.filter(
    ({ name }) => STAGE_NAMES.indexOf(name) <= STAGE_NAMES.indexOf(last),
  );
  await requireStages(config, source, wanted);
  const outcomes = await runStages(config.output, wanted, options, reporter);
  const summary: RunSummary = {
    schema: 'autoglm.run/1',
    autoglm: VERSION,
    config: config.path,
    model: source.path,
    output: config.output,
    finishedAt: new Date().toISOString(),
    stages: outcomes,
    check:
      last === 'check' && !options.dryRun ? await readCheck(join(config.output, 'check')) : null,
  };
  if (!options.dryRun) {
    await writeFileAtomic(
      join(config.output, RUN_NAME),
      `${JSON.stringify(summary, undefined, 2)}\n`,
    );
  }
  return summary;
}

/** Refuses what the stages after calibration are sure to refuse, before any of them runs. */
async function requireStages(
  config: PipelineConfig,
  source: ModelOnDisk,
  wanted: readonly NamedStage[],
): Promise<void> {
  const isWanted = (name: StageName): boolean => wanted.some((stage) => stage.name === name);
  if (!isWanted('quantize')) return;
  const { search, recipe } = quantization(config);
  const chosen = await recipe();
  requireQuantizable(source.model, chosen, true);
  if (search !== undefined) await requireSearchable(source, chosen, search);
  if (config.export === undefined || !isWanted('export')) return;
  const { target, shape } = config.export;
  const shapes = parseShapes(shape, source.model);
  requireExportable(source.model, chosen, { target, shapes, isCalibrated: true });
}

/** The recipe that a config quantizes by, and the budget that is searched for. */
function quantization(config: PipelineConfig): {
  readonly search: SearchRequest | undefined;
  recipe(): Promise<Recipe>;
} {
  const { recipe: named, ...budget } = config.quantize;
  const choice = { data: config.data, ...config.calibrate };
  const search = searchRequestOf(budget, choice, config.output);
  return {
    search,
    recipe: () =>
      loadRecipe(search === undefined ? named : searchedRecipe(named), {
        activations: config.quantize.activations,
        calibrator: config.calibrate.calibrator,
      }),
  };
}

interface NamedStage extends Stage {
  readonly name: StageName;
}

/** The export as it came, which everything is checked against, and what the stages work on. */
interface Sources {
  readonly origin: ModelOnDisk;
  /** The model that is calibrated and quantized: pruned where the config prunes. Opened when its stage is done. */
  from(): Promise<ModelOnDisk>;
}

function pipelineStages(config: PipelineConfig, origin: ModelOnDisk): readonly NamedStage[] {
  const { output } = config;
  const calibration = join(output, 'calibrate', CALIBRATION_NAME);
  const quantized = join(output, 'quantize');
  const pruned = join(output, 'prune');
  const sources: Sources = {
    origin,
    from: async () => (config.prune === undefined ? origin : openModelOnDisk(pruned)),
  };
  const stages: NamedStage[] = [
    ...(config.prune === undefined ? [] : [pruneStage(config, config.prune, origin)]),
    calibrateStage(config, sources),
    quantizeStage(config, sources, calibration),
  ];
  if (config.export !== undefined) {
    stages.push(exportStage(config, config.export, { ...sources, calibration, quantized }));
  }
  stages.push(checkStage(config, origin, quantized));
  return stages;
}

function pruneStage(
  config: PipelineConfig,
  settings: NonNullable<PipelineConfig['prune']>,
  origin: ModelOnDisk,
): NamedStage {
  const choice = { data: config.data, ...config.calibrate };
  return {
    name: 'prune',
    folder: 'prune',
    inputs: async () => ({
      model: await origin.sha256(),
      data: (await openData(choice, origin)).hash,
      settings,
    }),
    async run(folder, reporter) {
      const { warnings } = await pruneInto(
        folder,
        { source: origin, settings, choice, cacheFolder: searchCacheFolder(config.output) },
        reporter,
      );
      for (const warning of warnings) reporter.warn(warning);
      if (budgetOf(settings) === undefined) return;
      const judged = { source: origin, settings, choice, seed: 0, measureLatency: false };
      const check = await checkPruned(folder, judged, reporter);
      if (check !== null) enforceGates(check);
    },
  };
}

function calibrateStage(config: PipelineConfig, { origin, from }: Sources): NamedStage {
  const choice = { data: config.data, ...config.calibrate };
  return {
    name: 'calibrate',
    folder: 'calibrate',
    inputs: async () => ({
      model: await origin.sha256(),
      data: (await openData(choice, origin)).hash,
      options: config.calibrate,
    }),
    async run(folder, reporter) {
      const { calibrator, format } = config.calibrate;
      const source = await from();
      const made = await calibrateInto(folder, { source, choice, calibrator }, reporter);
      await writeTables(folder, made, format);
    },
  };
}

function quantizeStage(
  config: PipelineConfig,
  { from }: Sources,
  calibrationPath: string,
): NamedStage {
  const choice = { data: config.data, ...config.calibrate };
  const { search, recipe } = quantization(config);
  return {
    name: 'quantize',
    folder: 'quantize',
    inputs: async () => ({
      recipe: await recipe(),
      ...(search !== undefined && {
        budget: search.budget,
        windows: config.quantize.searchSamples,
      }),
    }),
    async run(folder, reporter) {
      const source = await from();
      const calibration = await readCalibration(calibrationPath, source);
      const chosen = await recipe();
      const { warnings } = await quantizeInto(
        folder,
        {
          source,
          recipe: chosen,
          calibration,
          data: { path: config.data, sha256: calibration.data.sha256 },
          choice,
          search,
        },
        reporter,
      );
      for (const warning of warnings) reporter.warn(warning);
    },
  };
}

function exportStage(
  config: PipelineConfig,
  target: NonNullable<PipelineConfig['export']>,
  upstream: Sources & { readonly calibration: string; readonly quantized: string },
): NamedStage {
  return {
    name: 'export',
    folder: target.target,
    inputs: async () => ({ target, check: config.check }),
    async run(folder, reporter) {
      const source = await upstream.from();
      await exportInto(
        folder,
        {
          source,
          origin: upstream.origin,
          plan: join(upstream.quantized, QUANTIZED_FILES.plan),
          calibration: await readCalibration(upstream.calibration, source),
          target: target.target,
          shape: target.shape,
          choice: { data: config.data, ...config.calibrate, ...heldOut(config) },
        },
        reporter,
      );
    },
  };
}

function checkStage(config: PipelineConfig, source: ModelOnDisk, quantized: string): NamedStage {
  const choice = { data: config.data, ...config.calibrate, ...heldOut(config) };
  return {
    name: 'check',
    folder: 'check',
    inputs: async () => ({ check: config.check }),
    async run(folder, reporter) {
      await checkInto(
        folder,
        {
          source,
          artifact: quantized,
          choice,
          device: config.check.device,
          gates: config.check.gates ?? {},
          seed: config.calibrate.seed,
          measureLatency: config.check.latency,
          contextLength: config.check.contextLength,
        },
        reporter,
      );
    },
  };
}

function heldOut(config: PipelineConfig): { readonly heldOutSamples?: number } {
  const { samples } = config.check;
  return samples === undefined ? {} : { heldOutSamples: samples };
}

async function readCheck(folder: string): Promise<CheckResult> {
  const path = join(folder, CHECK_FILES.json);
  return parseCheckResult(await readFile(path, 'utf8'), path);
}
