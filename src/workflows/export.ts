import { join } from 'node:path';
import { MANIFEST_NAME } from '../artifact/manifest.ts';
import { type ModelOnDisk, openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { ExportOutcome, ExportPlan, ExportResult } from '../artifact/results.ts';
import { UsageError } from '../errors.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { exists, writeThroughStaging } from '../storage/replace-folder.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../storage/temporary-folder.ts';
import { TENSORRT_FILES } from '../targets/tensorrt/write.ts';
import type { Reporter } from './progress.ts';
import { runConfig } from './project/pipeline.ts';
import type { PipelineConfig } from './project/pipeline-config.ts';
import {
  dataChoice,
  refuseWithConfig,
  requireData,
  requireOwnOutput,
  resolveRequest,
  type VerbOptions,
} from './project/resolve-request.ts';
import { needsRanges, planOnly } from './quantize.ts';
import { CALIBRATION_NAME, calibrateInto, readCalibration } from './stages/calibrate-model.ts';
import { CHECK_FILES } from './stages/check-into.ts';
import { parseShapes } from './stages/engine-shapes.ts';
import { exportInto } from './stages/export-model.ts';
import { loadRecipe, QUANTIZED_FILES, writePlan } from './stages/quantize-model.ts';
import { readExport } from './stages/read-export.ts';
import { requireExportable } from './stages/require-possible.ts';

/** Options of `export`. */
export interface ExportOptions extends VerbOptions {
  readonly target?: 'tensorrt' | 'onnx' | undefined;
  readonly recipe?: string | undefined;
  readonly calibration?: string | undefined;
  readonly shape?: readonly string[] | undefined;
}

/** Exports the float model that was named, or the config's from its quantize stage. */
export async function exportModel(
  options: ExportOptions,
  reporter: Reporter,
): Promise<ExportOutcome | ExportPlan> {
  const request = await resolveRequest(options);
  if (request.kind === 'config') return exportConfig(request.config, options, reporter);
  const target = options.target;
  if (target === undefined) {
    throw new UsageError('export: no target. Give --target tensorrt or --target onnx.');
  }
  const { source } = request;
  if (options.dryRun === true) {
    return planExport(target, source, options, options.recipe ?? 'w8a8');
  }
  const data = requireData(options, 'export');
  const output = await requireOwnOutput(options, source, 'export');
  const shape = options.shape ?? [];
  const recipe = await loadRecipe(options.recipe ?? 'w8a8');
  requireExportable(source.model, recipe, {
    target,
    shapes: parseShapes(shape, source.model),
    isCalibrated: needsRanges(recipe),
  });
  const scratch = await makeTemporaryFolder('autoglm-plan-');
  try {
    const result = await writeThroughStaging(
      output,
      { force: options.force ?? false, mode: 'merge', expected: expectedFiles(target) },
      async (folder) => {
        const { plan, calibration } = await planFor(
          scratch,
          { options, source, data, recipe },
          reporter,
        );
        // As many to check with as to calibrate with.
        const choice = { ...dataChoice(options, data), heldOutSamples: options.samples };
        return exportInto(folder, { source, plan, calibration, target, shape, choice }, reporter);
      },
    );
    return { ...result, folder: output };
  } finally {
    await removeTemporaryFolder(scratch);
  }
}

/** Names that an export is sure to write. */
function expectedFiles(target: ExportResult['target']): readonly string[] {
  const own = target === 'onnx' ? ['onnx'] : [TENSORRT_FILES.quantized, TENSORRT_FILES.script];
  return [...own, MANIFEST_NAME, ...Object.values(CHECK_FILES)];
}

async function exportConfig(
  config: PipelineConfig,
  options: ExportOptions,
  reporter: Reporter,
): Promise<ExportOutcome | ExportPlan> {
  const target = options.target ?? config.export?.target;
  if (target === undefined) {
    throw new UsageError(
      `${config.path}: no export target. Give --target, or "export: { target: tensorrt }".`,
    );
  }
  const shape = [...(options.shape ?? config.export?.shape ?? [])];
  const recipe = options.recipe ?? config.quantize.recipe;
  if (options.dryRun === true) {
    const source = await openModelOnDisk(config.model);
    return planExport(target, source, { ...options, shape }, recipe);
  }
  refuseWithConfig('--calibration', options.calibration, config);
  const chosen = {
    ...config,
    export: { target, shape },
    quantize: { ...config.quantize, recipe },
  };
  const { force = false } = options;
  await runConfig(chosen, { until: 'export', force, dryRun: false }, reporter);
  const folder = join(config.output, target);
  return { ...(await readExport(folder, target)), folder };
}

async function planExport(
  target: ExportResult['target'],
  source: ModelOnDisk,
  options: ExportOptions,
  named: string,
): Promise<ExportPlan> {
  const recipe = await loadRecipe(named);
  requireExportable(source.model, recipe, {
    target,
    shapes: parseShapes(options.shape ?? [], source.model),
    isCalibrated: needsRanges(recipe),
  });
  const { plan } = await planOnly(source, recipe, options.calibration);
  return { schema: 'autoglm.export-plan/1', target, plan };
}

/** Makes the plan that an export of a named model needs: from its calibration, else calibrating now. */
async function planFor(
  folder: string,
  request: {
    readonly options: ExportOptions;
    readonly source: ModelOnDisk;
    readonly data: string;
    readonly recipe: Recipe;
  },
  reporter: Reporter,
) {
  const { options, source, data, recipe } = request;
  const plan = join(folder, QUANTIZED_FILES.plan);
  if (!needsRanges(recipe)) {
    await writePlan(plan, { source, recipe, calibration: undefined });
    return { plan, calibration: undefined };
  }
  const calibration =
    options.calibration === undefined
      ? await calibrateInto(folder, { source, choice: dataChoice(options, data) }, reporter)
      : await readCalibration(await calibrationFile(options.calibration), source);
  await writePlan(plan, { source, recipe, calibration });
  return { plan, calibration };
}

async function calibrationFile(path: string): Promise<string> {
  const inFolder = join(path, CALIBRATION_NAME);
  return (await exists(inFolder)) ? inFolder : path;
}
