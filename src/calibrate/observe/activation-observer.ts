import type { LoadOptions } from '../../runners/runner.ts';
import type { Feeds } from '../../values/tensor-value.ts';
import type { TensorStatistics } from '../statistics.ts';

/** Second moments to add up besides statistics. */
export interface GramOptions {
  /** Watched values. */
  readonly values: readonly string[];
  /** Of wider values only the diagonal is added up. */
  readonly maxWidth: number;
  /** Path of a saved `gramModel()`. */
  readonly model: string;
  /** Lets no row weigh more than four times the median of its sample: a few huge tokens drown the rest otherwise. */
  readonly capsRows?: boolean | undefined;
  /** Where the sums go, in files whose names begin with `prefix`. */
  readonly folder: string;
  readonly prefix: string;
}

/** A sum of x * transpose(x) on disk: `width` x `width` float32, or its diagonal, little-endian. */
export interface GramFile {
  readonly path: string;
  readonly width: number;
  readonly isDiagonal: boolean;
  /** Vectors that went in. */
  readonly rowCount: number;
  /** True when all of them were zero. */
  readonly isSilent: boolean;
}

/** What an observer watches. */
export interface ObserverOptions {
  readonly session: LoadOptions;
  /** Outputs of the model to watch; floating-point. */
  readonly outputs: readonly string[];
  /** Inputs of the model to watch, taken from the feeds. */
  readonly inputs: readonly string[];
  /** Outputs of the model that each run gives back, watched or not. */
  readonly returned?: readonly string[];
  /** Keeps extremes of each index of the last axis, too: of all values, or of those named. */
  readonly channels?: boolean | readonly string[];
  readonly grams?: GramOptions;
}

/**
 * Runs a model and folds the values it watches into statistics where they arise, in the process of
 * the runtime: what comes back is a few kilobytes a value, whatever the number of samples.
 */
export interface ActivationObserver {
  /** Runs one sample, folds its values, and returns the `returned` ones. */
  observe(feeds: Feeds): Promise<Feeds>;
  /** Resident set of the runtime's process in bytes, now. */
  memoryBytes(): Promise<number>;
  /** Statistics of every watched value so far. */
  statistics(): Promise<ReadonlyMap<string, TensorStatistics>>;
  /** Writes the second moments so far to their files and says where; none without `grams`. */
  writeGrams(): Promise<ReadonlyMap<string, GramFile>>;
  close(): Promise<void>;
}

/** Opens a model for observing; `runners` has one. Errors are those of a `Runner`'s `load`. */
export type OpenObserver = (
  modelPath: string,
  options: ObserverOptions,
) => Promise<ActivationObserver>;
