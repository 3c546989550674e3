import { UsageError } from '../../errors.ts';
import type { DatasetOptions } from '../sample.ts';
import type { TextDescription } from './dataset-schema.ts';
import type { HashedFile } from './found-data.ts';
import { resolveFile } from './inside-folder.ts';
import { BYTE_ENCODING, readTokenizer, type TextEncoding } from './tokenizer.ts';

/** A tokenizer, and the file that it was read from. */
export interface FoundTokenizer {
  readonly encoding: TextEncoding;
  readonly files: readonly HashedFile[];
}

/**
 * Returns the tokenizer that a data set names, else the one beside the model. Throws UsageError when there is neither.
 */
export async function findTokenizer(
  folder: string,
  where: string,
  description: Pick<TextDescription, 'tokenizer'>,
  options: DatasetOptions,
): Promise<FoundTokenizer> {
  if (description.tokenizer === 'bytes') return { encoding: BYTE_ENCODING, files: [] };
  const path =
    description.tokenizer === undefined
      ? options.tokenizer
      : await resolveFile(folder, description.tokenizer, where);
  if (path === undefined) {
    throw new UsageError(
      `${where}: no tokenizer. Put tokenizer.json beside the model, or write "tokenizer:" into dataset.yaml (a tokenizer.json, or bytes).`,
    );
  }
  return { encoding: await readTokenizer(path), files: [{ name: 'tokenizer', path }] };
}
