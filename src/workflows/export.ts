import { join } from 'node:path';
import { MANIFEST_NAME } from '../artifact/manifest.ts';
import { type ModelOnDisk, openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { ExportOutcome, ExportPlan } from '../artifact/results.ts';
import { UsageError } from '../errors.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { exists, writeThroughStaging } from '../storage/replace-folder.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../storage/temporary-folder.ts';
import { TARGETS } from '../targets/index.ts';
import { runConfig } from './pipeline/run-config.ts';
import type { Reporter } from './progress.ts';
import type { ExportSettings } from './project/export-settings.ts';
import type { PipelineConfig } from './project/pipeline-config.ts';
import {
  dataChoice,
  refuseWithConfig,
  requireData,
  requireOwnOutput,
  resolveRequest,
  type VerbOptions,
} from './project/resolve-request.ts';
import { verifySmoothing } from './proof/verify-smoothing.ts';
import { needsRanges, planOnly } from './quantize.ts';
import { CALIBRATION_NAME, calibrateInto, readCalibration } from './stages/calibrate-model.ts';
import { CHECK_FILES } from './stages/check-into.ts';
import { type ChosenTarget, chooseTarget } from './stages/choose-target.ts';
import { parseShapes } from './stages/engine-shapes.ts';
import { exportInto } from './stages/export-model.ts';
import { planModel } from './stages/plan-model.ts';
import { loadRecipe } from './stages/quantize-model.ts';
import { readExport } from './stages/read-export.ts';
import { requireExportable } from './stages/require-possible.ts';

/** Options of `export`. */
export interface ExportOptions extends VerbOptions {
  /** Id of a target. */
  readonly target?: string | undefined;
  readonly recipe?: string | undefined;
  readonly calibration?: string | undefined;
  readonly shape?: readonly string[] | undefined;
  /** Settings of the target itself; those of another target are refused. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
}

/** Exports the float model that was named, or the config's from its quantize stage. */
export async function exportModel(
  options: ExportOptions,
  reporter: Reporter,
): Promise<ExportOutcome | ExportPlan> {
  const request = await resolveRequest(options);
  if (request.kind === 'config') return exportConfig(request.config, options, reporter);
  if (options.target === undefined) {
    throw new UsageError(`export: no target. Give ${targetFlags()}.`);
  }
  const { source } = request;
  const chosen = await chooseTarget(options.target, options.settings ?? {});
  if (options.dryRun === true) {
    return planExport(chosen, source, options, options.recipe ?? 'w8a8');
  }
  const data = requireData(options, 'export');
  const output = await requireOwnOutput(options, source, 'export');
  const shape = options.shape ?? [];
  const recipe = await loadRecipe(options.recipe ?? 'w8a8');
  requireExportable(source.model, recipe, chosen, {
    shapes: parseShapes(shape, source.model),
    isCalibrated: needsRanges(recipe),
  });
  const expected = [...chosen.writer.expected, MANIFEST_NAME, ...Object.values(CHECK_FILES)];
  const result = await writeThroughStaging(
    output,
    { force: options.force ?? false, mode: 'merge', expected },
    async (folder) => {
      const planned = await planFor({ options, source, data, recipe }, reporter);
      // As many to check with as to calibrate with.
      const choice = { ...dataChoice(options, data), heldOutSamples: options.samples };
      return exportInto(folder, { source, ...planned, chosen, shape, choice }, reporter);
    },
  );
  return { ...result, folder: output };
}

function targetFlags(): string {
  return TARGETS.map(({ id }) => `--target ${id}`).join(' or ');
}

async function exportConfig(
  config: PipelineConfig,
  options: ExportOptions,
  reporter: Reporter,
): Promise<ExportOutcome | ExportPlan> {
  const settings = chooseExport(config, options);
  const recipe = options.recipe ?? config.quantize.recipe;
  if (options.dryRun === true) {
    const source = await openModelOnDisk(config.model);
    const target = await chooseTarget(settings.target, settings.options);
    return planExport(target, source, { ...options, shape: settings.shape }, recipe);
  }
  refuseWithConfig('--calibration', options.calibration, config);
  const chosen = { ...config, export: [settings], quantize: { ...config.quantize, recipe } };
  const { force = false } = options;
  await runConfig(chosen, { until: 'export', force, dryRun: false }, reporter);
  const folder = join(config.output, settings.target);
  return { ...(await readExport(folder, settings.target)), folder };
}

/** The export of a config that was named, or its only one, with the typed settings in place of its own. */
function chooseExport(config: PipelineConfig, options: ExportOptions): ExportSettings {
  const { target, shape, settings } = options;
  const [first, second] = config.export;
  if (target === undefined && first === undefined) {
    throw new UsageError(
      `${config.path}: no export target. Give --target, or "export: { tensorrt: {} }".`,
    );
  }
  if (target === undefined && second !== undefined) {
    const ids = config.export.map((section) => section.target).join(', ');
    throw new UsageError(
      `${config.path}: exports to several targets (${ids}). Give --target, or use "autoglm run".`,
    );
  }
  const section = config.export.find((one) => one.target === target) ?? first;
  const isOwn = section !== undefined && (target === undefined || section.target === target);
  return {
    target: target ?? section?.target ?? '',
    shape: shape ?? (isOwn ? section.shape : []),
    options: { ...(isOwn && section.options), ...settings },
  };
}

async function planExport(
  chosen: ChosenTarget,
  source: ModelOnDisk,
  options: ExportOptions,
  named: string,
): Promise<ExportPlan> {
  const recipe = await loadRecipe(named);
  requireExportable(source.model, recipe, chosen, {
    shapes: parseShapes(options.shape ?? [], source.model),
    isCalibrated: needsRanges(recipe),
  });
  const { plan } = await planOnly(source, recipe, options.calibration);
  return { schema: 'autoglm.export-plan/1', target: chosen.target.id, plan };
}

/** Makes the plan that an export of a named model needs: from its calibration, else calibrating now. */
async function planFor(
  request: {
    readonly options: ExportOptions;
    readonly source: ModelOnDisk;
    readonly data: string;
    readonly recipe: Recipe;
  },
  reporter: Reporter,
) {
  const { options, source, data, recipe } = request;
  const calibration = needsRanges(recipe) ? await calibrationOf(request, reporter) : undefined;
  const { plan } = await planModel({ source, recipe, calibration });
  const { smoothing } = plan;
  if (smoothing !== undefined) await verifySmoothing(source, smoothing, dataChoice(options, data));
  return { plan, calibration };
}

async function calibrationOf(
  { options, source, data }: Parameters<typeof planFor>[0],
  reporter: Reporter,
) {
  if (options.calibration !== undefined) {
    return readCalibration(await calibrationFile(options.calibration), source);
  }
  const scratch = await makeTemporaryFolder('autoglm-plan-');
  try {
    return await calibrateInto(scratch, { source, choice: dataChoice(options, data) }, reporter);
  } finally {
    await removeTemporaryFolder(scratch);
  }
}

async function calibrationFile(path: string): Promise<string> {
  const inFolder = join(path, CALIBRATION_NAME);
  return (await exists(inFolder)) ? inFolder : path;
}
