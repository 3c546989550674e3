import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../storage/write-file-atomic.ts';

/** Widths of a pruned model, as Hugging Face and onnxruntime-genai state them; absent where they differ by layer. */
export interface ModelWidths {
  /** Hidden channels of the feed-forward networks. */
  readonly intermediateSize?: number | undefined;
  /** Query heads; key heads too where there were as many. */
  readonly heads?: number | undefined;
  /** Channels of one head: no longer hidden size / heads. */
  readonly headDim?: number | undefined;
}

type WidthKeys = Readonly<Record<keyof ModelWidths | 'keyValueHeads', string>>;

/** Keys of `config.json` (Hugging Face) and of `model.decoder` in `genai_config.json`. */
const KEYS: Readonly<Record<string, WidthKeys>> = {
  'config.json': {
    intermediateSize: 'intermediate_size',
    heads: 'num_attention_heads',
    keyValueHeads: 'num_key_value_heads',
    headDim: 'head_dim',
  },
  'genai_config.json': {
    intermediateSize: 'intermediate_size',
    heads: 'num_attention_heads',
    keyValueHeads: 'num_key_value_heads',
    headDim: 'head_size',
  },
};

/**
 * Puts the widths of a pruned model into the configuration files among `names` in `folder`. Keys that a file does not
 * have stay out, but for the size of a head, which was implied by the number of heads. Files keep their indent.
 */
export async function patchConfigs(
  folder: string,
  names: readonly string[],
  widths: ModelWidths,
): Promise<void> {
  for (const name of names) {
    const keys = KEYS[name];
    if (keys === undefined) continue;
    const path = join(folder, name);
    const text = await readFile(path, 'utf8');
    const config = parseObject(text);
    if (config === undefined) continue;
    const section = sectionOf(config, name);
    const changes = changedKeys(section, keys, widths);
    for (const [key, value] of changes) section[key] = value;
    if (changes.size > 0) {
      const indent = /\n( +)"/.exec(text)?.[1]?.length ?? 2;
      await writeFileAtomic(path, `${JSON.stringify(config, undefined, indent)}\n`);
    }
  }
}

function changedKeys(
  section: Readonly<Record<string, unknown>>,
  keys: WidthKeys,
  { intermediateSize, heads, headDim }: ModelWidths,
): ReadonlyMap<string, number> {
  const wanted = new Map<string, number>();
  const put = (key: string, value: number | undefined, isThere = key in section): void => {
    if (value !== undefined && isThere && section[key] !== value) wanted.set(key, value);
  };
  put(keys.intermediateSize, intermediateSize);
  put(keys.heads, heads);
  if (section[keys.keyValueHeads] === section[keys.heads]) put(keys.keyValueHeads, heads);
  if (heads !== undefined) put(keys.headDim, headDim, keys.heads in section);
  return wanted;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const found: unknown = JSON.parse(text);
    return isObject(found) ? found : undefined;
  } catch {
    // Not ours to judge: a runtime that reads it will say so.
    return undefined;
  }
}

/** Multi-modal configurations keep the decoder in `text_config`. */
function sectionOf(config: Record<string, unknown>, name: string): Record<string, unknown> {
  if (name === 'genai_config.json') {
    const decoder = isObject(config['model']) ? config['model']['decoder'] : undefined;
    return isObject(decoder) ? decoder : config;
  }
  const text = config['text_config'];
  return isObject(text) ? text : config;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
