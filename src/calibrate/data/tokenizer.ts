import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { UsageError } from '../../errors.ts';

/** Text to token ids. */
export interface TextEncoding {
  /** Ids that the model expects before and after every sequence (BOS, [CLS] ... [SEP]). */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** Ids of the text alone. */
  encode(text: string): ArrayLike<number>;
}

/** Ids are the UTF-8 bytes; no special tokens. */
export const BYTE_ENCODING: TextEncoding = {
  prefix: [],
  suffix: [],
  encode: (text) => new TextEncoder().encode(text),
};

/**
 * Returns the encoding of a Hugging Face `tokenizer.json`, with the `tokenizer_config.json` beside it
 * where there is one. Throws {@link UsageError} when the file is not a tokenizer.
 */
export async function readTokenizer(path: string): Promise<TextEncoding> {
  const settings = await readJson(path);
  const config = await readJson(join(dirname(path), 'tokenizer_config.json')).catch(() => ({}));
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(settings, config);
  } catch (error) {
    throw new UsageError(
      `${path}: not a tokenizer that can be read (${error instanceof Error ? error.message : error}).`,
    );
  }
  const encode = (text: string): readonly number[] =>
    tokenizer.encode(text, { add_special_tokens: false }).ids;
  // What surrounds a probe are the special tokens: the library does not name them by role.
  const probe = encode('a');
  const whole: readonly number[] = tokenizer.encode('a').ids;
  const start = whole.findIndex((_, at) => probe.every((id, offset) => whole[at + offset] === id));
  return {
    encode,
    prefix: start < 0 ? [] : whole.slice(0, start),
    suffix: start < 0 ? [] : whole.slice(start + probe.length),
  };
}

async function readJson(path: string): Promise<object> {
  const text = await readFile(path, 'utf8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Falls through to the error below, which says more than the parser.
  }
  throw new UsageError(`${path}: not JSON (expected a Hugging Face tokenizer file).`);
}
