import { join } from 'node:path';
import { asMisfit, UsageError } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import { saveModel } from '../storage/model-file.ts';
import { makeScratchFolder } from '../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../storage/temporary-folder.ts';
import type { Feeds } from '../values/tensor-value.ts';
import { cutModel, type ModelPart } from './cut-model.ts';
import { exposeValues } from './expose-values.ts';
import { type FeedHints, type FeedInput, feedInputs } from './feed-input.ts';
import { makeFeeds } from './make-feeds.ts';
import type {
  ActivationObserver,
  GramFile,
  GramOptions,
  ObserverOptions,
  OpenObserver,
} from './observe/activation-observer.ts';
import { gramModel } from './observe/gram-model.ts';
import { observerSession } from './observe/observer-session.ts';
import { type PartLimits, partLimits } from './part-limits.ts';
import { prepareAhead } from './prepare-ahead.ts';
import type { Dataset } from './sample.ts';
import type { TensorStatistics } from './statistics.ts';
import { tapValues } from './tap-values.ts';
import { ValueSpool } from './value-spool.ts';

/** How far a collection is, after each run of a part of the model over a sample. */
export interface CollectProgress {
  /** Runs done. A model that is run whole has one part, so these are samples. */
  readonly done: number;
  readonly total: number;
  readonly seconds: number;
  /** Resident set of the process that runs the model. */
  readonly rssBytes: number;
  /** How many parts the model is run in, one after the other. */
  readonly parts: number;
}

/** What {@link collectStatistics} collects. */
export interface CollectOptions {
  /** Usually the float32 twin: float16 activations would overflow where the model itself nearly does. */
  readonly model: Model;
  /**
   * Floating-point values to observe, of the main graph or of branches of If: inputs of linear layers and so
   * on. Only the runs count in which the branch was taken.
   */
  readonly values: readonly string[];
  readonly dataset: Pick<Dataset, 'count' | 'samples' | 'path'>;
  readonly openObserver: OpenObserver;
  /** The file that the model comes from, for messages; a temporary one is never named. */
  readonly modelPath?: string;
  readonly hints?: FeedHints;
  /** Takes the samples whose index is `index` modulo `count`; merging all shards is one run. */
  readonly shard?: { readonly index: number; readonly count: number };
  readonly threads?: number;
  /** Keeps extremes of each index of the last axis, of fixed size: of all values, or those named. */
  readonly channels?: boolean | readonly string[];
  /**
   * True or limits: runs the model block by block, each over all samples; false: whole. Large models
   * are run block by block when it is absent. Both give the same bits.
   */
  readonly byBlock?: boolean | PartLimits;
  /** Adds up second moments of these values, too, and leaves them in files `prefix`... of `folder`. */
  readonly grams?: Omit<GramOptions, 'model'>;
  readonly onProgress?: (progress: CollectProgress) => void;
  /** Called with each weight file that cannot be linked, so that its weights are copied. */
  readonly onCopy?: (path: string) => void;
  /** Ends the collection between two runs; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Statistics of every observed value over all samples. */
export interface CollectedStatistics {
  /** In the order of `values`. */
  readonly statistics: ReadonlyMap<string, TensorStatistics>;
  /** Samples that went in. */
  readonly samples: number;
  /** Second moments of the values that they were asked for. */
  readonly grams: ReadonlyMap<string, GramFile>;
}

/**
 * Runs the calibration samples through the model, one at a time at batch size 1 (so no padding is ever
 * counted), and returns the statistics of the chosen values. The model runs on the CPU with graph
 * optimisation off: the figures depend on the graph as written, not on what a runtime fuses.
 * Memory does not grow with the number of samples, nor, block by block, with the number of blocks.
 * Throws {@link UsageError} for an unknown value or when there is no sample, errors of the data set, of
 * `makeFeeds` and of the runner, RunnerError when the disk fills up.
 */
export async function collectStatistics(options: CollectOptions): Promise<CollectedStatistics> {
  const names = [...new Set(options.values)];
  const inputs = feedInputs(options.model.graph);
  const isInput = (name: string): boolean => inputs.some((input) => input.name === name);
  const limits = partLimits(options.model, options.byBlock);
  const outputs = names.filter((name) => !isInput(name));
  const model = exposeValues(options.model, outputs);
  const whole: ModelPart = {
    model: tapValues(model, outputs),
    inputs: inputs.map(({ name }) => name),
    outputs,
    boundary: [],
  };
  const parts = limits && cutModel(model, outputs, limits.partBytes);
  const samples = await countSamples(options);
  const run: PartRun = {
    parts: parts ?? [whole],
    inputs,
    observedInputs: names.filter(isInput),
    samples,
    spool: new ValueSpool(limits?.spoolBytes ?? 0),
    start: performance.now(),
    options,
  };
  const found = new Map<string, TensorStatistics>();
  const grams = new Map<string, GramFile>();
  try {
    for (let part = 0; part < run.parts.length; part++) {
      const seen = await runPart(run, part);
      for (const [name, statistics] of seen.statistics) found.set(name, statistics);
      for (const [name, file] of seen.grams) grams.set(name, file);
    }
  } finally {
    await run.spool.close();
  }
  return {
    statistics: new Map(names.map((name) => [name, found.get(name)!])),
    samples,
    grams,
  };
}

async function countSamples({ dataset, shard }: CollectOptions): Promise<number> {
  const all = await dataset.count('calibration');
  const count = Array.from({ length: all }, (_, index) => index).filter((index) =>
    isInShard(index, shard),
  ).length;
  if (count > 0) return count;
  throw new UsageError(
    `${dataset.path}: no calibration sample (got ${all} in all, expected at least 1). Add files, or use fewer shards.`,
  );
}

function isInShard(index: number, shard: CollectOptions['shard']): boolean {
  return shard === undefined || index % shard.count === shard.index;
}

interface PartRun {
  readonly parts: readonly ModelPart[];
  readonly inputs: readonly FeedInput[];
  /** Inputs of the whole model to observe. */
  readonly observedInputs: readonly string[];
  readonly samples: number;
  readonly spool: ValueSpool;
  readonly start: number;
  readonly options: CollectOptions;
}

/** Runs all samples through one part, and returns what was seen in it. */
async function runPart(
  run: PartRun,
  index: number,
): Promise<Pick<CollectedStatistics, 'statistics' | 'grams'>> {
  const { options, spool, parts } = run;
  const part = parts[index]!;
  const { outputs, boundary } = part;
  const { modelPath = 'model' } = options;
  const folder = await makeScratchFolder(options.model);
  let observer: ActivationObserver | undefined;
  try {
    const path = join(folder, 'tapped.onnx');
    await saveModel(part.model, path, { referenceWeights: true, onCopy: options.onCopy });
    observer = await options
      .openObserver(path, {
        session: observerSession(options.threads, parts.length > 1),
        outputs,
        inputs: index === 0 ? run.observedInputs : [],
        returned: boundary,
        ...(options.channels !== undefined && { channels: options.channels }),
        ...(await gramOptions(run, index, folder)),
      })
      .catch((error: unknown) => {
        throw renamed(error, path, modelPath);
      });
    let done = 0;
    for await (const { label, feeds } of feedsOf(run, index)) {
      options.signal?.throwIfAborted();
      const values = await observer.observe(feeds).catch((error: unknown) => {
        throw renamed(asMisfit(error, modelPath, label), path, `${modelPath}: sample ${label}`);
      });
      for (const [name, value] of values) await spool.put(name, done, value);
      done++;
      await reportProgress(run, index * run.samples + done, observer);
    }
    for (const name of part.inputs) {
      if (!isReadAfter(parts, index, name)) await spool.dropAll(name);
    }
    return { statistics: await observer.statistics(), grams: await observer.writeGrams() };
  } finally {
    await observer?.close();
    await removeTemporaryFolder(folder);
  }
}

/** The error with the user's model in place of the temporary file that was run. */
function renamed(error: unknown, path: string, modelPath: string): unknown {
  if (error instanceof Error) error.message = error.message.replaceAll(path, modelPath);
  return error;
}

/** The observed values of a part that second moments are wanted of. */
async function gramOptions(
  { options, parts, observedInputs }: PartRun,
  index: number,
  folder: string,
): Promise<Pick<ObserverOptions, 'grams'>> {
  const { grams } = options;
  const own = [...parts[index]!.outputs, ...(index === 0 ? observedInputs : [])];
  const values = own.filter((name) => grams?.values.includes(name));
  if (grams === undefined || values.length === 0) return {};
  const model = join(folder, 'gram.onnx');
  await saveModel(gramModel(), model);
  return { grams: { ...grams, values, model, prefix: `${grams.prefix}${index}-` } };
}

interface LabelledFeeds {
  /** Index of the sample in the data set. */
  readonly label: number;
  readonly feeds: Feeds;
}

/** Yields the feeds of a part: the first is fed from the data set, the others from the spool. */
async function* feedsOf(run: PartRun, index: number): AsyncIterable<LabelledFeeds> {
  const { parts, spool } = run;
  if (index === 0) {
    yield* feedsOfFirst(run);
    return;
  }
  const part = parts[index]!;
  const passing = part.inputs.filter((name) => !isReadAfter(parts, index, name));
  for (let sample = 0; sample < run.samples; sample++) {
    const feeds = new Map();
    for (const name of part.inputs) feeds.set(name, await spool.get(name, sample));
    yield { label: sampleIndex(run.options.shard, sample), feeds };
    for (const name of passing) spool.drop(name, sample);
  }
}

/** What later parts read of the inputs is put aside on the way. */
async function* feedsOfFirst({
  options,
  inputs,
  parts,
  spool,
}: PartRun): AsyncIterable<LabelledFeeds> {
  const { dataset, hints, shard } = options;
  const samples = dataset.samples('calibration');
  const kept = inputs.map(({ name }) => name).filter((name) => isReadAfter(parts, 0, name));
  let done = 0;
  for await (const made of prepareAhead(samples, (sample) =>
    isInShard(sample.index, shard)
      ? { label: sample.index, feeds: makeFeeds(inputs, sample, hints) }
      : undefined,
  )) {
    for (const name of kept) await spool.put(name, done, made.feeds.get(name)!);
    yield made;
    done++;
  }
}

function isReadAfter(parts: readonly ModelPart[], index: number, name: string): boolean {
  return parts.slice(index + 1).some(({ inputs }) => inputs.includes(name));
}

function sampleIndex(shard: CollectOptions['shard'], ordinal: number): number {
  return shard === undefined ? ordinal : shard.index + ordinal * shard.count;
}

async function reportProgress(
  { options, parts, samples, start }: PartRun,
  done: number,
  observer: ActivationObserver,
): Promise<void> {
  if (options.onProgress === undefined) return;
  const rssBytes = await observer.memoryBytes();
  const seconds = (performance.now() - start) / 1000;
  const total = samples * parts.length;
  options.onProgress({ done, total, seconds, rssBytes, parts: parts.length });
}
