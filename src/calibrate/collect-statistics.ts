import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import type { LoadOptions } from '../runners/runner.ts';
import { saveModel } from '../storage/model-file.ts';
import type { ActivationObserver, OpenObserver } from './activation-observer.ts';
import { type FeedHints, type FeedInput, feedInputs, makeFeeds } from './make-feeds.ts';
import type { Dataset, Sample } from './sample.ts';
import { makeScratchFolder } from './scratch-folder.ts';
import type { TensorStatistics } from './statistics.ts';
import { tapValues } from './tap-values.ts';

/** How far a collection is, after each sample. */
export interface CollectProgress {
  readonly done: number;
  readonly total: number;
  readonly seconds: number;
  /** Resident set of the process that runs the model. */
  readonly rssBytes: number;
}

/** What {@link collectStatistics} collects. */
export interface CollectOptions {
  /** Usually the float32 twin: float16 activations would overflow where the model itself nearly does. */
  readonly model: Model;
  /** Floating-point values of the main graph to observe: inputs of linear layers and so on. */
  readonly values: readonly string[];
  readonly dataset: Pick<Dataset, 'count' | 'samples' | 'path'>;
  readonly openObserver: OpenObserver;
  readonly hints?: FeedHints;
  /** Takes the samples whose index is `index` modulo `count`; merging all shards is one run. */
  readonly shard?: { readonly index: number; readonly count: number };
  readonly threads?: number;
  /** Keeps extremes of each index of the last axis, which must be a fixed size, too. */
  readonly channels?: boolean;
  readonly onProgress?: (progress: CollectProgress) => void;
  /** Ends the collection between two samples; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Statistics of every observed value over all samples. */
export interface CollectedStatistics {
  /** In the order of `values`. */
  readonly statistics: ReadonlyMap<string, TensorStatistics>;
  /** Samples that went in. */
  readonly samples: number;
}

/**
 * Runs the calibration samples through the model, one at a time at batch size 1 (so no padding is ever
 * counted), and returns the statistics of the chosen values. The model runs on the CPU with graph
 * optimisation off: the figures depend on the graph as written, not on what a runtime fuses.
 * Memory does not grow with the number of samples. Throws {@link UsageError} for an unknown value or
 * when there is no sample, errors of the data set, of `makeFeeds` and of the runner.
 */
export async function collectStatistics(options: CollectOptions): Promise<CollectedStatistics> {
  const names = [...new Set(options.values)];
  const inputs = feedInputs(options.model.graph);
  const isInput = (name: string): boolean => inputs.some((input) => input.name === name);
  const outputs = names.filter((name) => !isInput(name));
  const folder = await makeScratchFolder(options.model);
  let observer: ActivationObserver | undefined;
  try {
    const tapped = join(folder, 'tapped.onnx');
    await saveModel(tapValues(options.model, outputs), tapped, { referenceWeights: true });
    const session: LoadOptions = {
      device: 'cpu',
      optimization: 'disabled',
      // Weights stay mapped from their file instead of being packed on the heap.
      config: { 'session.disable_prepacking': '1' },
      ...(options.threads !== undefined && { threads: options.threads }),
    };
    observer = await options.openObserver(tapped, {
      session,
      outputs,
      inputs: names.filter(isInput),
      ...(options.channels !== undefined && { channels: options.channels }),
    });
    const samples = await observeSamples(observer, inputs, options);
    const found = await observer.statistics();
    return { statistics: new Map(names.map((name) => [name, found.get(name)!])), samples };
  } finally {
    await observer?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function observeSamples(
  observer: ActivationObserver,
  inputs: readonly FeedInput[],
  options: CollectOptions,
): Promise<number> {
  const { dataset, shard, hints, signal, onProgress } = options;
  const all = await dataset.count('calibration');
  const mine = (index: number): boolean =>
    shard === undefined || index % shard.count === shard.index;
  const total = Array.from({ length: all }, (_, index) => index).filter(mine).length;
  if (total === 0) {
    throw new UsageError(
      `${dataset.path}: no calibration sample (got ${all} in all, expected at least 1). Add files, or use fewer shards.`,
    );
  }
  const start = performance.now();
  let done = 0;
  for await (const { sample, feeds } of preparedAhead(dataset.samples('calibration'), (sample) =>
    mine(sample.index) ? makeFeeds(inputs, sample, hints) : undefined,
  )) {
    signal?.throwIfAborted();
    await observer.observe(feeds).catch((error: unknown) => {
      if (error instanceof Error) error.message = `sample ${sample.index}: ${error.message}`;
      throw error;
    });
    done++;
    if (onProgress === undefined) continue;
    const rssBytes = await observer.memoryBytes();
    onProgress({ done, total, seconds: (performance.now() - start) / 1000, rssBytes });
  }
  return done;
}

/** Makes the next sample while the caller works on this one; those without feeds are left out. */
async function* preparedAhead<T>(
  samples: AsyncIterable<Sample>,
  prepare: (sample: Sample) => T | undefined,
): AsyncIterable<{ readonly sample: Sample; readonly feeds: T }> {
  const source = samples[Symbol.asyncIterator]();
  const next = async (): Promise<{ sample: Sample; feeds: T } | undefined> => {
    for (;;) {
      const result = await source.next();
      if (result.done === true) return undefined;
      const feeds = prepare(result.value);
      if (feeds !== undefined) return { sample: result.value, feeds };
    }
  };
  let ahead = next();
  try {
    for (let current = await ahead; current !== undefined; current = await ahead) {
      ahead = next();
      // Its failure belongs to the turn in which it is awaited.
      ahead.catch(() => {});
      yield current;
    }
  } finally {
    await ahead.catch(() => {});
    await source.return?.();
  }
}
