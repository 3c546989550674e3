import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { calibrateModel } from '../../calibrate/calibrate-model.ts';
import {
  type CalibrationFile,
  mergeCalibrations,
  parseCalibration,
  serialiseCalibration,
} from '../../calibrate/calibration-file.ts';
import { UsageError } from '../../errors.ts';
import { whyNoLinears } from '../../quantize/why-float.ts';
import type { CalibratorName } from '../../recipe/recipe.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { requireSound } from '../proof/require-sound.ts';
import { warnOfCopies } from '../proof/warn-of-copies.ts';

/** Name of the file that calibration leaves in its folder. */
export const CALIBRATION_NAME = 'calibration.json';

/** What to calibrate, with which data. */
export interface CalibrateRequest {
  readonly source: ModelOnDisk;
  readonly choice: DataChoice;
  /** Method of the scale table; ranges of a recipe are chosen again from the statistics. */
  readonly calibrator?: CalibratorName | undefined;
  /** Takes samples i, i+n, i+2n ... */
  readonly shard?: { readonly index: number; readonly count: number } | undefined;
}

/** Runs the calibration passes of a request and returns statistics and scale table. */
export async function calibrateSource(
  request: CalibrateRequest,
  reporter: Reporter,
): Promise<CalibrationFile> {
  const { source, choice, calibrator, shard } = request;
  await requireSound(source);
  return calibrateModel(source, () => openData(choice, source), {
    calibrator,
    shard,
    seed: choice.seed,
    sequenceLength: choice.sequenceLength,
    whyNoLinears,
    onWarning: (message) => reporter.warn(message),
    onCopy: warnOfCopies(reporter),
    onProgress: ({ done, total, parts, rssBytes }) =>
      reporter.progress({
        task: 'calibrate',
        done,
        total,
        unit: parts === 1 ? 'samples' : 'block runs',
        memoryBytes: rssBytes,
      }),
  });
}

/** Calibrates into a folder: `calibration.json`. */
export async function calibrateInto(
  folder: string,
  request: CalibrateRequest,
  reporter: Reporter,
): Promise<CalibrationFile> {
  const calibration = await calibrateSource(request, reporter);
  await writeFileAtomic(join(folder, CALIBRATION_NAME), serialiseCalibration(calibration));
  return calibration;
}

/**
 * Reads a calibration. With `source`, throws UsageError when it was made from another model, whose
 * ranges would silently be wrong for this one.
 */
export async function readCalibration(
  path: string,
  source?: ModelOnDisk,
): Promise<CalibrationFile> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(
      `${path}: the calibration cannot be read (${cause.code}). Check the path.`,
      {
        cause,
      },
    );
  });
  const calibration = parseCalibration(text, path);
  if (source !== undefined && calibration.model.sha256 !== (await source.sha256())) {
    throw new UsageError(
      `${path}: was made from another model (got ${calibration.model.sha256.slice(0, 12)}, ` +
        `expected ${(await source.sha256()).slice(0, 12)}). Calibrate this model.`,
    );
  }
  return calibration;
}

/** Joins the calibrations of shards, in the order given. */
export async function mergeCalibrationPaths(paths: readonly string[]): Promise<CalibrationFile> {
  const [first, ...others] = await Promise.all(paths.map((path) => readCalibration(path)));
  if (first === undefined) throw new UsageError('merge: no files. Name calibration.json files.');
  return others.reduce(mergeCalibrations, first);
}
