import { join } from 'node:path';
import { openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { CalibrateResult } from '../artifact/results.ts';
import { type CalibrationFile, serialiseCalibration } from '../calibrate/calibration-file.ts';
import { writeThroughStaging } from '../storage/replace-folder.ts';
import { writeFileAtomic } from '../storage/write-file-atomic.ts';
import type { CalibratorName, TableFormat } from './choices.ts';
import { runConfig } from './pipeline/run-config.ts';
import type { Reporter } from './progress.ts';
import { openData } from './project/open-data.ts';
import type { PipelineConfig } from './project/pipeline-config.ts';
import {
  dataChoice,
  refuseWithConfig,
  requireData,
  requireOutput,
  resolveRequest,
  type VerbOptions,
} from './project/resolve-request.ts';
import {
  CALIBRATION_NAME,
  calibrateInto,
  mergeCalibrationPaths,
  readCalibration,
} from './stages/calibrate-model.ts';
import { writeTables } from './stages/calibration-tables.ts';

/** Options of `calibrate`. */
export interface CalibrateOptions extends VerbOptions {
  readonly calibrator?: CalibratorName | undefined;
  readonly shard?: { readonly index: number; readonly count: number } | undefined;
  /** Tables to write beside calibration.json. */
  readonly tables: readonly TableFormat[];
}

/** Calibrates the model that was named, or the config's into its stage folder. */
export async function calibrate(
  options: CalibrateOptions,
  reporter: Reporter,
): Promise<CalibrateResult> {
  const request = await resolveRequest(options);
  if (request.kind === 'config') {
    const { config } = request;
    refuseWithConfig('--shard', options.shard, config);
    return calibrateConfig(config, options, reporter);
  }
  const { source } = request;
  const choice = dataChoice(options, requireData(options, 'calibrate'));
  if (options.dryRun === true) {
    const samples = await (await openData(choice, source)).count('calibration');
    return describe(undefined, null, options.calibrator ?? 'auto', samples);
  }
  const output = requireOutput(options, 'calibrate');
  const calibration = await writeThroughStaging(
    output,
    { force: options.force ?? false, mode: 'merge', expected: [CALIBRATION_NAME] },
    async (folder) => {
      const { calibrator, shard } = options;
      const made = await calibrateInto(folder, { source, choice, calibrator, shard }, reporter);
      await writeTables(folder, made, options.tables);
      return made;
    },
  );
  return describe(calibration, join(output, CALIBRATION_NAME));
}

async function calibrateConfig(
  config: PipelineConfig,
  options: CalibrateOptions,
  reporter: Reporter,
): Promise<CalibrateResult> {
  const { force = false, dryRun = false, tables, calibrator } = options;
  const chosen = {
    ...config.calibrate,
    ...(calibrator !== undefined && { calibrator }),
    ...(tables.length > 0 && { format: [...tables] }),
  };
  await runConfig(
    { ...config, calibrate: chosen },
    { until: 'calibrate', force, dryRun },
    reporter,
  );
  if (dryRun) {
    const dataset = await openData(
      { data: config.data, ...chosen },
      await openModelOnDisk(config.model),
    );
    const samples = await dataset.count('calibration');
    return describe(undefined, null, chosen.calibrator ?? 'auto', samples);
  }
  const path = join(config.output, 'calibrate', CALIBRATION_NAME);
  return describe(await readCalibration(path), path);
}

/** Joins `calibration.json` files of shards into one in `output`. */
export async function mergeCalibrationFiles(
  paths: readonly string[],
  output: string,
  force: boolean,
): Promise<CalibrateResult> {
  const merged = await mergeCalibrationPaths(paths);
  await writeThroughStaging(
    output,
    { force, mode: 'merge', expected: [CALIBRATION_NAME] },
    (folder) => writeFileAtomic(join(folder, CALIBRATION_NAME), serialiseCalibration(merged)),
  );
  return describe(merged, join(output, CALIBRATION_NAME));
}

function describe(
  calibration: CalibrationFile | undefined,
  path: string | null,
  calibrator = calibration?.options.calibrator ?? 'auto',
  samples = calibration?.samples.length ?? 0,
): CalibrateResult {
  const names = [...(calibration?.tensors.keys() ?? [])].sort();
  return {
    schema: 'autoglm.calibrate/1',
    path,
    samples,
    calibrator,
    tensors: names.map((name) => {
      const { count, min, max } = calibration!.tensors.get(name)!;
      const scales = calibration!.scales.get(name);
      return {
        name,
        count,
        min: count === 0 ? null : min,
        max: count === 0 ? null : max,
        int8Scale: scales?.int8.scale ?? null,
        uint8Scale: scales?.uint8.scale ?? null,
        uint8ZeroPoint: scales?.uint8.zeroPoint ?? null,
        method: scales?.uint8.method ?? null,
      };
    }),
  };
}
