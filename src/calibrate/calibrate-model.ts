import { UnsupportedError } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import { convertToFloat32 } from '../passes/convert-to-float32.ts';
import { distinctNames } from '../passes/distinct-names.ts';
import { gatherBeforeCast } from '../passes/gather-before-cast.ts';
import { isReached, openBodies } from '../passes/open-bodies.ts';
import { runPasses } from '../passes/pass.ts';
import type { CalibratorName } from '../recipe/recipe.ts';
import { countInBodies, describeBodyCounts } from '../structure/count-in-bodies.ts';
import { findOpenedLinears } from '../structure/find-linears.ts';
import { type CalibrationFile, createCalibration } from './calibration-file.ts';
import { type CollectProgress, collectStatistics } from './collect-statistics.ts';
import type { Dataset } from './dataset.ts';
import { feedHints } from './feed-hints.ts';
import { feedInputs } from './feed-input.ts';
import { requireFit } from './make-feeds.ts';
import { openOnnxruntimeObserver } from './observe/observer.ts';

/** A model that lies on a disk, as `openModelOnDisk` returns it. */
export interface CalibrationSource {
  /** Prepared: what is planned and quantized later. */
  readonly model: Model;
  /** Path of the .onnx file; pieces of the model that run for themselves link to its weights. */
  readonly path: string;
  /** SHA-256 over the hashes of all files: a calibration knows the model that it belongs to. */
  sha256(): Promise<string>;
}

/** How to calibrate. What is left out has the defaults of the command line. */
export interface CalibrateModelOptions {
  /** Method of the scale table, `auto` when absent; recipes choose ranges again from the statistics. */
  readonly calibrator?: CalibratorName | undefined;
  /** Takes samples i, i+n, i+2n ...; `mergeCalibrations` makes the whole of such shards. */
  readonly shard?: { readonly index: number; readonly count: number } | undefined;
  /** For the record: the seed and window (tokens) that the data set was opened with. */
  readonly seed?: number | undefined;
  readonly sequenceLength?: number | undefined;
  /** Returns what a model without linear layers has in their place, for the error. */
  whyNoLinears?(twin: Model): string;
  onWarning?(message: string): void;
  onProgress?(progress: CollectProgress): void;
  /** Told of weight files that had to be copied, because no link to them could be made. */
  onCopy?(path: string): void;
}

/**
 * Returns the statistics of every linear layer's input over the calibration samples of a data set, and a
 * scale table. The model runs in float32, with graph optimisation off, in a process of its own. Samples
 * are read once each; a data set may be opened late, by a function. Deterministic: the same model
 * and samples give the same statistics, bit for bit.
 *
 * Throws UnsupportedError for a model without linear layers, UsageError for data that does not fit the
 * graph's inputs, UnavailableError where onnxruntime is missing.
 *
 * @example
 * ```ts
 * const source = await openModelOnDisk('model.onnx');
 * const dataset = await openDataset('calibration/mixed', { samples: 8 });
 * const calibration = await calibrateModel(source, dataset);
 * ```
 */
export async function calibrateModel(
  source: CalibrationSource,
  dataset: Dataset | (() => Promise<Dataset>),
  options: CalibrateModelOptions = {},
): Promise<CalibrationFile> {
  const { calibrator = 'auto', shard, onWarning } = options;
  const { twin, values, channels } = observed(source, options);
  const data = typeof dataset === 'function' ? await dataset() : dataset;
  const narrow = oneDomainWarning(data);
  if (narrow !== undefined) onWarning?.(narrow);
  const hints = feedHints(source.model);
  await requireFit(feedInputs(twin.graph), data, hints);
  const { statistics } = await collectStatistics({
    model: twin,
    values,
    dataset: data,
    openObserver: openOnnxruntimeObserver,
    modelPath: source.path,
    hints,
    channels,
    ...(shard !== undefined && { shard }),
    onCopy: (path) => options.onCopy?.(path),
    onProgress: (progress) => options.onProgress?.(progress),
  });
  for (const [name, { nanCount, infinityCount }] of statistics) {
    if (nanCount + infinityCount > 0) {
      onWarning?.(`${name}: ${nanCount} NaN and ${infinityCount} infinite values were left out.`);
    }
  }
  const count = await data.count('calibration');
  return createCalibration(
    {
      model: { sha256: await source.sha256() },
      data: { sha256: data.hash, ...(data.domains.length > 0 && { domains: data.domains }) },
      options: {
        calibrator,
        seed: options.seed ?? 0,
        ...(options.sequenceLength !== undefined && { sequenceLength: options.sequenceLength }),
      },
      samples: Array.from({ length: count }, (_, index) => index).filter(
        (index) => shard === undefined || index % shard.count === shard.index,
      ),
    },
    statistics,
  );
}

/** Returns what to say of data that name one kind of text alone: ranges of one kind do not hold on others. */
export function oneDomainWarning({ domains }: Pick<Dataset, 'domains'>): string | undefined {
  if (domains.length !== 1) return undefined;
  return (
    `calibration data are of one domain (${domains[0]}): text of other kinds may leave the ranges, and INT8 ` +
    'activations then lose most of it. Add files of the domains that will be met, or use calibration/mixed.'
  );
}

/** The model that runs (in float32, every value under a name of its own) and what is looked at in it. */
interface Observed {
  readonly twin: Model;
  /** Inputs of linear layers. */
  readonly values: readonly string[];
  /** Those of them whose last axis are channels. */
  readonly channels: readonly string[];
}

function observed({ model, path }: CalibrationSource, options: CalibrateModelOptions): Observed {
  const twin = runPasses(model, [distinctNames, convertToFloat32, gatherBeforeCast]);
  const opened = openBodies(twin);
  const all = findOpenedLinears(opened);
  if (all.length === 0) {
    const found = options.whyNoLinears?.(twin) ?? 'no product with a constant';
    throw new UnsupportedError(
      `${path}: no linear layer was found, so there is nothing to calibrate (got ${found}). ` +
        'See "autoglm inspect".',
    );
  }
  const linears = all.filter((layer) => isReached(opened, layer));
  const unseen = all.filter((layer) => !linears.includes(layer));
  const hidden = countInBodies(opened, unseen);
  if (hidden.length > 0) {
    options.onWarning?.(
      `Linear layers in bodies of Loop and Scan are not observed: ${describeBodyCounts(hidden)}.`,
    );
  }
  // A Conv reads [batch, channels, height, width]: its last axis is no channel.
  const products = linears.filter(({ node }) => node.opType !== 'Conv');
  return {
    twin,
    values: [...new Set(linears.map(({ input }) => input))],
    channels: [...new Set(products.map(({ input }) => input))],
  };
}
