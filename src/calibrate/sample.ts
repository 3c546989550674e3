import type { TensorValue } from '../values/tensor-value.ts';

/** Calibration passes read `calibration`; `check` reads `heldOut`, which never reaches calibration. */
export type Split = 'calibration' | 'heldOut';

/** One input of a model, without masks, positions and caches: `makeFeeds` adds those. */
export interface Sample {
  /** Position among the chosen samples of the split, from 0. */
  readonly index: number;
  /**
   * Arrays by name, without a batch axis: `input_ids` int64 [length] for text, `pixel_values`
   * float32 [channels, height, width] for images, arrays as stored for tensors.
   */
  readonly values: ReadonlyMap<string, TensorValue>;
  /** The kind of text that it is, where the data set names kinds. */
  readonly domain?: string;
  /** The right class, where the data set knows it. */
  readonly label?: number;
}

/** A calibration set. Samples are made as they are asked for; only the current one is in memory. */
export interface Dataset {
  readonly kind: 'text' | 'images' | 'tensors';
  /** The path under which it was opened, for messages. */
  readonly path: string;
  /** Says whether the model saw the classes: true when samples of the held-out split carry labels. */
  readonly hasLabels: boolean;
  /** SHA-256, in hex, of all files and settings that shape the samples; no paths outside the set. */
  readonly hash: string;
  /** Kinds of text that calibration reads, in order; empty where the data set names none. */
  readonly domains: readonly string[];
  /** Number of samples that `samples(split)` gives. */
  count(split: Split): Promise<number>;
  /** The chosen samples in order; may be asked for again and gives the same. */
  samples(split: Split): AsyncIterable<Sample>;
}

/** What a caller may add to, or put in place of, what `dataset.yaml` says. */
export interface DatasetOptions {
  /** Calibration samples to use, spread evenly over the data (chosen by `seed` when given). */
  readonly samples?: number;
  /** Held-out samples to use; all when absent. */
  readonly heldOutSamples?: number;
  /** Tokens per text sample. */
  readonly sequenceLength?: number;
  /** Chooses samples at random instead of evenly spaced. A safe integer. */
  readonly seed?: number;
  /** `tokenizer.json` to use when the data set names none. */
  readonly tokenizer?: string;
  /** `preprocessor_config.json` for settings that the data set leaves open. */
  readonly preprocessor?: string;
}

/** The samples of one split before a choice among them. Kinds of data implement this. */
export interface SampleList {
  readonly count: number;
  /** Chooses among them, where evenly spaced ones will not do; ascending. */
  choose?(wanted: number | undefined, seed: number | undefined): readonly number[];
  /** Reads the samples at `indices`, which ascend, in that order. */
  read(indices: readonly number[]): AsyncIterable<Omit<Sample, 'index'>>;
}
