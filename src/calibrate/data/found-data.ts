import { relative, sep } from 'node:path';
import type { Dataset, SampleList, Split } from '../sample.ts';

/** A data set as found on disk, before anybody chooses samples. */
export interface Found {
  readonly kind: Dataset['kind'];
  readonly hasLabels: boolean;
  /** Samples of calibration when dataset.yaml says. */
  readonly samples: number | undefined;
  /** Everything that shapes samples, for the hash: settings, then files by name in the set. */
  readonly settings: unknown;
  readonly files: readonly HashedFile[];
  /** Kinds of text of the calibration split; absent where none are named. */
  readonly domains?: readonly string[];
  list(split: Split): Promise<SampleList>;
}

/** A file that shapes samples, by the name that the hash has it under. */
export interface HashedFile {
  readonly name: string;
  readonly path: string;
}

/** Returns a file under its name in the set, with `/`. */
export function named(folder: string, path: string): HashedFile {
  return { name: relative(folder, path).split(sep).join('/'), path };
}
