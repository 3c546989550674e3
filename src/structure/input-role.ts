/** What an input of a model means, by the names and axes that exporters give it. */
import type { Dim } from '../ir/model.ts';

/** What an input holds besides the arrays of a sample, and so how it is made when none is given. */
export type InputRole =
  | 'mask'
  | 'encoder-mask'
  | 'positions'
  | 'token-types'
  | 'cache'
  | 'cache-switch'
  | 'all-logits';

/** Other names for what a text or image sample calls `input_ids` and `pixel_values`. */
const ALIASES: Readonly<Record<string, RegExp>> = {
  input_ids: /^(decoder_)?(input_?ids|token_?ids|tokens|ids)$/i,
  pixel_values: /^(pixel_values|images?|pixels)$/i,
};

const ROLES: readonly (readonly [RegExp, InputRole])[] = [
  [/^(encoder|cross)_attention_mask$/i, 'encoder-mask'],
  [/(^|\.|_)attention_mask$|^mask$/i, 'mask'],
  [/(^|_)position_ids$|^cache_position$|^positions$/i, 'positions'],
  [/^token_type_ids$|^segment_ids$/i, 'token-types'],
  [
    /^past[._]?(key_values?|kv)|^past(_(key|value)(_values)?)?(_(self|cross))?[._]?\d+|^past_(key|value)s?$/i,
    'cache',
  ],
  [/^use_cache(_branch)?$/i, 'cache-switch'],
  [/^(num_)?logits_to_keep$/i, 'all-logits'],
];

const ENCODER_CACHE = /(^|[._])(encoder|cross)(?=[._]|$)/i;
/** Names of the axis that grows with the past, as exporters spell it. */
const PAST_AXIS = /past|seq|len|total|cache_size|context/i;
const BATCH_AXIS = /batch|^b$|^n$/i;

/** Returns the role of an input of this name, undefined when nothing but data can feed it. */
export function roleOf(name: string): InputRole | undefined {
  return ROLES.find(([pattern]) => pattern.test(name))?.[1];
}

/** Says whether an input takes what a sample calls `array`: `input_ids` or `pixel_values`. */
export function isAlias(array: string, input: string): boolean {
  return ALIASES[array]?.test(input) ?? false;
}

/** Says whether an input holds token ids, one a token. */
export function isTokenIds(name: string): boolean {
  return isAlias('input_ids', name);
}

/** Says whether the name of a cache input says that an encoder filled it, before the first token. */
export function isNamedEncoderCache(name: string): boolean {
  return roleOf(name) === 'cache' && ENCODER_CACHE.test(name);
}

/** Says whether a declared dim counts samples, by its name. */
export function isBatchDim(dim: Dim): boolean {
  return typeof dim === 'string' && BATCH_AXIS.test(dim);
}

/** Says whether a declared dim of a cache counts the tokens in it, by its name. */
export function isPastDim(dim: Dim): boolean {
  return typeof dim === 'string' && PAST_AXIS.test(dim) && !/dim|head/i.test(dim);
}

/**
 * Returns which of `outputs` holds a cache input after a run, undefined when none does:
 * `present.0.key` for `past_key_values.0.key`, `present_0` for `past_0` and their like.
 */
export function presentOf(input: string, outputs: Iterable<string>): string | undefined {
  if (roleOf(input) !== 'cache') return undefined;
  const known = new Set(outputs);
  const spellings = [
    input.replace(/^past_key_values?(?=[._]|$)/i, 'present'),
    input.replace(/^past/i, 'present'),
    input.replace(/^past_key_values?$/i, 'presents'),
  ];
  return spellings.find((name) => name !== input && known.has(name));
}
