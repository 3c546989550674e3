import { type CollectOptions, collectStatistics } from './collect-statistics.ts';
import { cutModel } from './cut-model.ts';
import type { GramFile } from './observe/activation-observer.ts';
import type { PartLimits } from './part-limits.ts';

/** Second moments held by one pass over the data, when the model is not run block by block. */
const PASS_BYTES = 2 ** 30;
/** Small parts, so that few second moments are in memory at once. */
const PART_LIMITS: PartLimits = { partBytes: 64 * 2 ** 20, spoolBytes: 64 * 2 ** 20 };

/** What {@link collectGrams} adds up. */
export interface GramCollection
  extends Pick<
    CollectOptions,
    'model' | 'dataset' | 'openObserver' | 'modelPath' | 'hints' | 'shard' | 'onProgress' | 'onCopy'
  > {
  /** Features along the last axis, by value: inputs of linear layers. */
  readonly widths: ReadonlyMap<string, number>;
  /** Of wider values only the diagonal is added up; of all, when it is 0. */
  readonly maxWidth: number;
  /** Where the sums are left, `width` x `width` float32 for each value. */
  readonly folder: string;
  /** As in the observer's options. */
  readonly capsRows?: boolean | undefined;
  /** Begins the names of the files, where several collections share a folder. */
  readonly prefix?: string | undefined;
}

/**
 * Runs the calibration samples through the float32 model and adds up x * transpose(x) of the chosen
 * values, in float32, in files. One block of a model with blocks is in memory at a time; of other models,
 * as many values as 1 GiB holds, in as many passes as that takes. Errors are those of `collectStatistics`.
 */
export async function collectGrams(
  options: GramCollection,
): Promise<ReadonlyMap<string, GramFile>> {
  const { widths, maxWidth, capsRows, folder, prefix = '', onProgress, ...shared } = options;
  const names = [...widths.keys()];
  const isWhole = cutModel(options.model, names, PART_LIMITS.partBytes) === undefined;
  const passes = isWhole ? passesOf(widths, maxWidth) : [names];
  const grams = new Map<string, GramFile>();
  for (const [index, values] of passes.entries()) {
    const collected = await collectStatistics({
      ...shared,
      values,
      byBlock: isWhole ? false : PART_LIMITS,
      grams: { values, maxWidth, capsRows, folder, prefix: `${prefix}pass-${index}-` },
      onProgress: (progress) =>
        onProgress?.({
          ...progress,
          done: index * progress.total + progress.done,
          total: passes.length * progress.total,
        }),
    });
    for (const [name, file] of collected.grams) grams.set(name, file);
  }
  return grams;
}

function passesOf(
  widths: ReadonlyMap<string, number>,
  maxWidth: number,
): readonly (readonly string[])[] {
  const passes: string[][] = [];
  let held = Number.POSITIVE_INFINITY;
  for (const [name, width] of widths) {
    // Old sum and new one.
    const bytes = 2 * 4 * width * (width > maxWidth ? 1 : width);
    if (held + bytes > PASS_BYTES) {
      passes.push([]);
      held = 0;
    }
    passes.at(-1)!.push(name);
    held += bytes;
  }
  return passes;
}
