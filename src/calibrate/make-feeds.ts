import { UnsupportedError } from '../errors.ts';
import type { KnownDataType } from '../ir/data-type.ts';
import type { Dim, Graph } from '../ir/model.ts';
import { elementCount } from '../ir/tensor.ts';
import type { Feeds, TensorValue } from '../runners/runner.ts';
import { castValue, zeros } from './element-array.ts';
import type { Sample } from './sample.ts';

/** An input that a model wants fed. Inputs of a `Session` are of this shape, too. */
export interface FeedInput {
  readonly name: string;
  readonly dataType: KnownDataType;
  readonly dims: readonly Dim[];
}

/** Sizes that a graph may leave open and only its attributes or configuration tell. */
export interface FeedHints {
  /** Heads of an empty KV cache whose declared dims do not say. */
  readonly kvHeads?: number;
  readonly headDim?: number;
}

/** Returns the inputs of a graph that must be fed: those without an initializer of their name. */
export function feedInputs(graph: Graph): readonly FeedInput[] {
  return graph.inputs
    .filter(({ name }) => !graph.initializers.has(name))
    .map(({ name, type }) => {
      if (type?.kind !== 'tensor' || type.shape === undefined) {
        throw new UnsupportedError(
          `input ${name}: it is no tensor of known rank, so nothing can be made for it. Declare its type and shape.`,
        );
      }
      return { name, dataType: type.dataType as KnownDataType, dims: type.shape };
    });
}

/**
 * Returns the feeds of one sample at batch size 1: its own arrays, cast to the declared types, and
 * what the graph wants besides: attention mask of ones (there is no padding), positions 0, 1, ...,
 * token types 0, empty KV caches, `use_cache_branch` false, `num_logits_to_keep` 0 (all). Arrays that
 * the graph does not declare (labels) are dropped. Throws {@link UnsupportedError} naming the first
 * input that cannot be made, or whose fixed dims the sample does not fit.
 */
export function makeFeeds(
  inputs: readonly FeedInput[],
  sample: Sample,
  hints: FeedHints = {},
): Feeds {
  const given = matchValues(inputs, sample);
  const length = sequenceLength(inputs, given);
  const feeds = new Map<string, TensorValue>();
  for (const input of inputs) {
    const value = given.get(input.name);
    const fed =
      value !== undefined ? fitValue(input, value) : makeAbsent(input, length, hints, sample);
    feeds.set(input.name, fed);
  }
  return feeds;
}

/** Other names for what a text or image sample calls `input_ids` and `pixel_values`. */
const ALIASES: Readonly<Record<string, RegExp>> = {
  input_ids: /^(decoder_)?(input_?ids|token_?ids|tokens|ids)$/i,
  pixel_values: /^(pixel_values|images?|pixels)$/i,
};

/** Which array of the sample feeds which input: by name, else the one that is left on both sides. */
function matchValues(
  inputs: readonly FeedInput[],
  sample: Sample,
): ReadonlyMap<string, TensorValue> {
  const given = new Map<string, TensorValue>();
  const rest = new Map(sample.values);
  for (const { name } of inputs) {
    const value = rest.get(name);
    if (value === undefined) continue;
    given.set(name, value);
    rest.delete(name);
  }
  const open = inputs.filter((input) => !given.has(input.name));
  for (const [name, value] of rest) {
    const alias = open.find((input) => ALIASES[name]?.test(input.name));
    if (alias !== undefined) given.set(alias.name, value);
  }
  const unmade = open.filter((input) => !given.has(input.name) && roleOf(input) === undefined);
  if (given.size === 0 && rest.size === 1 && unmade.length === 1) {
    given.set(unmade[0]!.name, [...rest.values()][0]!);
  }
  return given;
}

/** Length of the token axis: that of the ids or, for decoders behind an embedding, `inputs_embeds`. */
function sequenceLength(
  inputs: readonly FeedInput[],
  given: ReadonlyMap<string, TensorValue>,
): number | undefined {
  for (const { name } of inputs) {
    const dims = given.get(name)?.dims;
    if (dims === undefined) continue;
    if (ALIASES['input_ids']?.test(name)) return dims.at(-1);
    if (/embeds/.test(name)) return dims.at(-2);
  }
  return undefined;
}

/** Gives a value the declared type and rank; a missing batch axis is added in front. */
function fitValue(input: FeedInput, value: TensorValue): TensorValue {
  const { name, dataType, dims } = input;
  let shape = value.dims;
  if (shape.length === dims.length - 1) shape = [1, ...shape];
  else if (shape.length === dims.length + 1 && shape[0] === 1) shape = shape.slice(1);
  const fits =
    shape.length === dims.length &&
    dims.every((dim, axis) => typeof dim !== 'number' || dim < 0 || dim === shape[axis]);
  if (!fits) {
    const isText = ALIASES['input_ids']?.test(name) ?? false;
    const fixed = dims.at(-1);
    const cure =
      isText && typeof fixed === 'number'
        ? `Use --sequence-length ${fixed}.`
        : 'Make the data set fit the model.';
    throw new UnsupportedError(
      `input ${name}: the sample does not fit (got ${describeDims(shape)}, expected ${describeDims(dims)}). ${cure}`,
    );
  }
  return castValue({ ...value, dims: shape }, dataType, `input ${name}`);
}

type Role = 'mask' | 'positions' | 'zeros' | 'cache' | 'false' | 'all-logits';

const ROLES: readonly (readonly [RegExp, Role])[] = [
  [/(^|\.|_)attention_mask$|^mask$/i, 'mask'],
  [/(^|_)position_ids$|^cache_position$|^positions$/i, 'positions'],
  [/^token_type_ids$|^segment_ids$/i, 'zeros'],
  [
    /^past[._]?(key_values?|kv)|^past(_(key|value)(_values)?)?[._]?\d+|^past_(key|value)s?$/i,
    'cache',
  ],
  [/^use_cache(_branch)?$/i, 'false'],
  [/^(num_)?logits_to_keep$/i, 'all-logits'],
];

function roleOf({ name }: FeedInput): Role | undefined {
  return ROLES.find(([pattern]) => pattern.test(name))?.[1];
}

function makeAbsent(
  input: FeedInput,
  length: number | undefined,
  hints: FeedHints,
  sample: Sample,
): TensorValue {
  const role = roleOf(input);
  const { name, dataType } = input;
  if (role === 'cache') return emptyCache(input, hints);
  if (role === 'false' || role === 'all-logits') return filled(input, [...concreteDims(input)], 0);
  if (role === undefined || length === undefined) {
    throw new UnsupportedError(
      `input ${name}: nothing in the data set feeds it (got ${[...sample.values.keys()].join(', ')}, expected an array named ${name}). Add one: kind tensors takes arrays for every input.`,
    );
  }
  const dims = tokenDims(input, length);
  if (role === 'mask') return filled(input, dims, 1);
  if (role === 'zeros') return filled(input, dims, 0);
  const positions = Int32Array.from({ length: elementCount(dims) }, (_, at) => at % length);
  return castValue({ dataType: 'int32', dims, data: positions }, dataType, `input ${name}`);
}

/**
 * Dims of a mask or of positions: the last axis counts tokens (past tokens are none), the axes
 * before it are the batch, or the 3 of multi-axis rotary positions.
 */
function tokenDims(input: FeedInput, length: number): readonly number[] {
  const { name, dims } = input;
  const isMask = roleOf(input) === 'mask';
  if (dims.length === 0 || dims.length > (isMask ? 2 : 3)) {
    throw new UnsupportedError(
      `input ${name}: no rule makes it at rank ${dims.length} (expected ${isMask ? '1 or 2' : '1 to 3'}). Add an array named ${name} to a data set of kind tensors.`,
    );
  }
  const shape = dims.map((dim, axis) => {
    if (axis === dims.length - 1) return length;
    return typeof dim === 'number' && dim > 0 ? dim : 1;
  });
  const fixed = dims.at(-1);
  if (typeof fixed === 'number' && fixed > 0 && fixed !== length) {
    throw new UnsupportedError(
      `input ${name}: fixed length (got ${length} tokens, expected ${fixed}). Use --sequence-length ${fixed}.`,
    );
  }
  return shape;
}

/** Names of the axis that grows with the past, as exporters spell it. */
const PAST_AXIS = /past|seq|len|total|cache_size|context/i;
const BATCH_AXIS = /batch|^b$|^n$/i;

/**
 * An empty KV cache: declared sizes stay, the batch is 1 and the past 0. Two axes that the graph leaves
 * open besides, heads and head size, come from the hints.
 */
function emptyCache(input: FeedInput, hints: FeedHints): TensorValue {
  const { name, dims } = input;
  const shape = dims.map((dim, axis): number | undefined => {
    if (typeof dim === 'number' && dim >= 0) return dim;
    const symbol = dim === undefined ? '' : String(dim);
    if (BATCH_AXIS.test(symbol)) return 1;
    if (PAST_AXIS.test(symbol) && !/dim|head/i.test(symbol)) return 0;
    if (/head_?(dim|size)|kv_cache_dim/i.test(symbol) && hints.headDim !== undefined) {
      return hints.headDim;
    }
    if (/head/i.test(symbol) && hints.kvHeads !== undefined) return hints.kvHeads;
    return axis === 0 ? 1 : undefined;
  });
  const open = shape.flatMap((size, axis) => (size === undefined ? [axis] : []));
  if (open.length === 1 && !shape.includes(0)) shape[open[0]!] = 0;
  else if (open.length > 0) fillFromHints(shape, hints);
  const sizes = shape.filter((size) => size !== undefined);
  if (sizes.length < shape.length) {
    throw new UnsupportedError(
      `input ${name}: the sizes of its empty cache are not declared (got ${describeDims(dims)}, expected fixed heads and head size). Export with fixed KV dims.`,
    );
  }
  if (!sizes.includes(0) && !dims.some((dim) => typeof dim !== 'number')) {
    throw new UnsupportedError(
      `input ${name}: a cache of fixed length cannot be empty (got ${describeDims(dims)}). Export with a dynamic past.`,
    );
  }
  return filled(input, sizes, 0);
}

/** [batch, heads, past, head size], the layout of every exporter that names no axis. */
function fillFromHints(shape: (number | undefined)[], { kvHeads, headDim }: FeedHints): void {
  if (shape.length !== 4) return;
  shape[1] ??= kvHeads;
  shape[2] ??= 0;
  shape[3] ??= headDim;
}

function concreteDims({ dims }: FeedInput): readonly number[] {
  return dims.map((dim) => (typeof dim === 'number' && dim >= 0 ? dim : 1));
}

function filled({ dataType }: FeedInput, dims: readonly number[], value: 0 | 1): TensorValue {
  const data = zeros(dataType, elementCount(dims));
  if (value === 1) {
    const one = castValue(
      { dataType: 'uint8', dims: [1], data: Uint8Array.of(1) },
      dataType,
      dataType,
    ).data[0]!;
    for (let index = 0; index < data.length; index++) data[index] = one;
  }
  return { dataType, dims, data };
}

function describeDims(dims: readonly Dim[]): string {
  return `[${dims.map((dim) => dim ?? '?').join(', ')}]`;
}
