import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import {
  type CalibrationFile,
  createCalibration,
  mergeCalibrations,
  parseCalibration,
  serialiseCalibration,
} from '../../calibrate/calibration-file.ts';
import { collectStatistics } from '../../calibrate/collect-statistics.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { requireFit } from '../../calibrate/make-feeds.ts';
import { openOnnxruntimeObserver } from '../../calibrate/observe/observer.ts';
import { chooseRange } from '../../calibrate/ranges/index.ts';
import { UnsupportedError, UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { distinctNames } from '../../passes/distinct-names.ts';
import { gatherBeforeCast } from '../../passes/gather-before-cast.ts';
import { isReached, openBodies } from '../../passes/open-bodies.ts';
import { runPasses } from '../../passes/pass.ts';
import type { ActivationRange, ActivationRanges } from '../../quantize/quantization-plan.ts';
import { whyNoLinears } from '../../quantize/why-float.ts';
import type { CalibratorName, Recipe } from '../../recipe/recipe.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import { countInBodies, describeBodyCounts } from '../../structure/count-in-bodies.ts';
import { findOpenedLinears } from '../../structure/find-linears.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, feedHints, openData } from '../project/open-data.ts';
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

/** The model that runs: in float32, every value under a name of its own. */
function twinOf({ model }: ModelOnDisk): Model {
  return runPasses(model, [distinctNames, convertToFloat32, gatherBeforeCast]);
}

/** Runs the calibration passes of a request and returns statistics and scale table. */
export async function calibrateSource(
  request: CalibrateRequest,
  reporter: Reporter,
): Promise<CalibrationFile> {
  const { source, choice, calibrator = 'auto', shard } = request;
  await requireSound(source);
  const twin = twinOf(source);
  const opened = openBodies(twin);
  const all = findOpenedLinears(opened);
  const linears = all.filter((layer) => isReached(opened, layer));
  const hidden = countInBodies(
    opened,
    all.filter((layer) => !linears.includes(layer)),
  );
  const values = [...new Set(linears.map(({ input }) => input))];
  // A Conv reads [batch, channels, height, width]: its last axis is no channel.
  const products = linears.filter(({ node }) => node.opType !== 'Conv');
  if (all.length === 0) {
    throw new UnsupportedError(
      `${source.path}: no linear layer was found, so there is nothing to calibrate (got ${whyNoLinears(twin)}). ` +
        'See "autoglm inspect".',
    );
  }
  if (hidden.length > 0) {
    reporter.warn(
      `Linear layers in bodies of Loop and Scan are not observed: ${describeBodyCounts(hidden)}.`,
    );
  }
  const dataset = await openData(choice, source);
  const hints = feedHints(source.model);
  await requireFit(feedInputs(twin.graph), dataset, hints);
  const { statistics } = await collectStatistics({
    model: twin,
    values,
    dataset,
    openObserver: openOnnxruntimeObserver,
    modelPath: source.path,
    hints,
    channels: [...new Set(products.map(({ input }) => input))],
    ...(shard !== undefined && { shard }),
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
  for (const [name, { nanCount, infinityCount }] of statistics) {
    if (nanCount + infinityCount > 0) {
      reporter.warn(`${name}: ${nanCount} NaN and ${infinityCount} infinite values were left out.`);
    }
  }
  const count = await dataset.count('calibration');
  return createCalibration(
    {
      model: { sha256: await source.sha256() },
      data: { sha256: dataset.hash },
      options: {
        calibrator,
        seed: choice.seed ?? 0,
        ...(choice.sequenceLength !== undefined && { sequenceLength: choice.sequenceLength }),
      },
      samples: Array.from({ length: count }, (_, index) => index).filter(
        (index) => shard === undefined || index % shard.count === shard.index,
      ),
    },
    statistics,
  );
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

/** Returns the range of every calibrated tensor as the activations of a recipe want it. */
export function rangesOf(
  calibration: CalibrationFile,
  activations: Recipe['activations'],
): ActivationRanges {
  const scheme = { dataType: 'uint8', symmetric: activations.symmetric } as const;
  return new Map(
    [...calibration.tensors].map(([name, statistics]): [string, ActivationRange] => {
      const { min, max, method } = chooseRange(statistics, scheme, activations.calibrator);
      return [name, { min, max, calibrator: method as ActivationRange['calibrator'] }];
    }),
  );
}
