/** Options that several verbs share, each described once. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEVICES } from '../workflows/choices.ts';

/** Options of every verb. */
export interface CommonOptions {
  readonly json?: true;
  readonly quiet?: true;
}

/** Options of verbs that write. */
export interface WriteOptions extends CommonOptions {
  readonly output?: string;
  readonly config?: string;
  readonly force?: true;
  readonly dryRun?: true;
}

/** Options of verbs that read a data set. */
export interface DataOptions {
  readonly data?: string;
  readonly samples?: number;
  readonly sequenceLength?: number;
  readonly seed?: number;
}

/** Adds `--json` and `--quiet`. */
export function addCommonOptions(command: Command): Command {
  return command
    .option('--json', 'print the result as one JSON document')
    .option('--quiet', 'print the result and errors only');
}

/** Adds the options of verbs that write, and those of every verb. */
export function addWriteOptions(command: Command): Command {
  command
    .option('-o, --output <folder>', 'where the result goes')
    .option('--config <file>', 'config to take the model and defaults from')
    .option('--force', 'replace files that exist')
    .option('--dry-run', 'print what would be done, write nothing');
  return addCommonOptions(command);
}

/** Adds the options that choose calibration or held-out data. */
export function addDataOptions(command: Command): Command {
  return command
    .option('--data <folder>', 'data set: folder with dataset.yaml, or a bare file')
    .option('--samples <count>', 'samples to use', parseCount)
    .option('--sequence-length <tokens>', 'tokens per text sample', parseCount)
    .option('--seed <number>', 'seed of everything random', parseSeed);
}

/** Adds the limits that a result is searched within. */
export function addLimitOptions(command: Command): Command {
  return command
    .option('--max-kl <nats>', 'search the smallest result whose KL stays below', parseLimit)
    .option('--max-drop <points>', 'the same for the loss of top-1, such as 0.5%')
    .option('--max-perplexity-ratio <x>', 'the same for perplexity, after / before', parseLimit);
}

/** Returns the `--device` option. */
export function deviceOption(): Option {
  return new Option('--device <device>', 'where to run').choices(DEVICES).default('auto');
}

/** Parses a positive whole number; throws commander's InvalidArgumentError. */
export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError('Expected a whole number of at least 1.');
  }
  return value;
}

/** Parses a positive number; throws commander's InvalidArgumentError. */
function parseLimit(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) {
    throw new InvalidArgumentError('Expected a number above 0.');
  }
  return value;
}

function parseSeed(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError('Expected a whole number of at least 0.');
  }
  return value;
}

/** Parses `i/n` with 0 <= i < n. */
export function parseShard(text: string): { readonly index: number; readonly count: number } {
  const match = /^(\d+)\/(\d+)$/.exec(text);
  const index = Number(match?.[1]);
  const count = Number(match?.[2]);
  if (match === null || !(index < count)) {
    throw new InvalidArgumentError('Expected i/n with 0 <= i < n, such as 0/4.');
  }
  return { index, count };
}
