import { UnsupportedError, UsageError } from '../errors.ts';
import type { Dim } from '../ir/model.ts';
import { elementCount } from '../ir/tensor.ts';
import {
  isAlias,
  isNamedEncoderCache,
  isPastDim,
  isTokenIds,
  roleOf,
} from '../structure/input-role.ts';
import { castValue, filledValue, repeated } from '../values/element-array.ts';
import type { Feeds, TensorValue } from '../values/tensor-value.ts';
import { emptyCache } from './empty-cache.ts';
import { describeDims, type FeedHints, type FeedInput } from './feed-input.ts';
import type { Dataset, Sample } from './sample.ts';

/**
 * Returns the feeds of one sample at its own batch size, or 1: its arrays, cast to the declared types,
 * and what the graph wants besides: attention mask of ones (there is no padding), positions 0, 1, ...,
 * token types 0, empty KV caches, `use_cache_branch` false and true by turns, `num_logits_to_keep` 0 (all). Ids and
 * images of one sample are repeated where the model fixes a batch. Arrays that the graph does not
 * declare (labels) are dropped. Throws {@link UnsupportedError} naming the first input that cannot be
 * made, or whose fixed dims the sample does not fit, {@link UsageError} for an id beyond its table.
 */
export function makeFeeds(
  inputs: readonly FeedInput[],
  sample: Sample,
  hints: FeedHints = {},
): Feeds {
  const given = new Map(
    [...matchValues(inputs, sample)].map(([input, value]) => [input.name, fitValue(input, value)]),
  );
  const context = { extent: extentOf(inputs, given), hints, sample, inputs };
  return new Map(
    inputs.map((input): [string, TensorValue] => {
      const fed = given.get(input.name) ?? makeAbsent(input, context);
      requireRows(input, fed, sample);
      return [input.name, fed];
    }),
  );
}

/**
 * Refuses a text that the model does not take before its first sample is run: all of its tokens are in
 * memory. Other data are compared as they are read. Throws as {@link makeFeeds} does.
 */
export async function requireFit(
  inputs: readonly FeedInput[],
  dataset: Pick<Dataset, 'kind' | 'samples'>,
  hints: FeedHints,
): Promise<void> {
  if (dataset.kind !== 'text') return;
  for await (const sample of dataset.samples('calibration')) makeFeeds(inputs, sample, hints);
}

/** Returns the sample with its arrays as they were fed: with their batch axis, repeated where it is fixed. */
export function asFed(sample: Sample, feeds: Feeds): Sample {
  const inputs = [...feeds.keys()];
  const values = [...sample.values].map(([name, value]): [string, TensorValue] => {
    const input = feeds.has(name) ? name : inputs.find((other) => isAlias(name, other));
    return [name, (input !== undefined && feeds.get(input)) || value];
  });
  return { ...sample, values: new Map(values) };
}

/** Which array of the sample feeds which input: by name, else the one that is left on both sides. */
function matchValues(
  inputs: readonly FeedInput[],
  sample: Sample,
): ReadonlyMap<FeedInput, TensorValue> {
  const given = new Map<FeedInput, TensorValue>();
  const rest = new Map(sample.values);
  for (const input of inputs) {
    const value = rest.get(input.name);
    if (value === undefined) continue;
    given.set(input, value);
    rest.delete(input.name);
  }
  const open = inputs.filter((input) => !given.has(input));
  for (const [name, value] of rest) {
    const alias = open.find((input) => isAlias(name, input.name));
    if (alias !== undefined) given.set(alias, value);
  }
  const unmade = open.filter((input) => !given.has(input) && roleOf(input.name) === undefined);
  if (given.size === 0 && rest.size === 1 && unmade.length === 1) {
    given.set(unmade[0]!, [...rest.values()][0]!);
  }
  return given;
}

/** Gives a value the declared type and rank; a missing batch axis is added in front. */
function fitValue(input: FeedInput, value: TensorValue): TensorValue {
  const { name, dataType, dims } = input;
  let shape = value.dims;
  if (shape.length === dims.length - 1) shape = [1, ...shape];
  else if (shape.length === dims.length + 1 && shape[0] === 1) shape = shape.slice(1);
  const batch = dims[0];
  const isOneOfMany =
    shape[0] === 1 && typeof batch === 'number' && batch > 1 && isOneASample(input);
  const wanted = isOneOfMany ? [batch, ...shape.slice(1)] : shape;
  if (!fits(wanted, dims)) throw misfit(input, shape);
  const cast = castValue({ ...value, dims: shape }, dataType, `input ${name}`);
  return isOneOfMany ? { ...cast, dims: wanted, data: repeated(cast.data, batch) } : cast;
}

/** Says whether the first axis of an input is sure to count samples. */
function isOneASample({ name, dims }: FeedInput): boolean {
  const isRow = isTokenIds(name) || ['mask', 'token-types'].includes(roleOf(name) ?? '');
  return isAlias('pixel_values', name) ? dims.length === 4 : isRow && dims.length === 2;
}

function fits(shape: readonly number[], dims: readonly Dim[]): boolean {
  if (shape.length !== dims.length) return false;
  return dims.every((dim, axis) => typeof dim !== 'number' || dim < 0 || dim === shape[axis]);
}

function misfit({ name, dims }: FeedInput, shape: readonly number[]): UnsupportedError {
  const isLength =
    isTokenIds(name) && typeof dims.at(-1) === 'number' && dims.at(-1) !== shape.at(-1);
  const isBatch = shape.length === dims.length && fits(shape.slice(1), dims.slice(1));
  const cure = isLength
    ? `Use --sequence-length ${dims.at(-1)}.`
    : isBatch
      ? `The model takes ${dims[0]} at once: store rows of that shape, or export it with an open batch.`
      : 'Make the data set fit the model.';
  return new UnsupportedError(
    `input ${name}: the sample does not fit (got ${describeDims(shape)}, expected ${describeDims(dims)}). ${cure}`,
  );
}

/** Sizes of a sample that what is made for it must have. */
interface Extent {
  readonly batch: number;
  /** Tokens of a row; undefined when the sample has none. */
  readonly length: number | undefined;
  /** Tokens in the caches that the sample brings. */
  readonly past: number;
  /** Tokens of the encoder that the sample brings, as hidden states or in caches. */
  readonly encoderLength: number | undefined;
}

function extentOf(inputs: readonly FeedInput[], given: ReadonlyMap<string, TensorValue>): Extent {
  let extent: Extent = { batch: 1, length: undefined, past: 0, encoderLength: undefined };
  for (const input of inputs) {
    const dims = given.get(input.name)?.dims;
    if (dims === undefined) continue;
    const { name } = input;
    const isRows = isTokenIds(name) || (/embeds/.test(name) && dims.length > 1);
    if (isRows && extent.length === undefined) {
      const tokenAxis = isTokenIds(name) ? dims.length - 1 : dims.length - 2;
      const batch = elementCount(dims.slice(0, tokenAxis));
      extent = { ...extent, batch, length: dims[tokenAxis]! };
    } else if (holdsEncoder(input) || /^encoder_(hidden_states|outputs?)$/.test(name)) {
      extent = { ...extent, encoderLength: dims.at(-2) };
    } else if (roleOf(name) === 'cache') {
      const axis = input.dims.findIndex(isPastDim);
      extent = { ...extent, past: (axis < 0 ? dims.at(-2) : dims[axis]) ?? 0 };
    }
  }
  return extent;
}

interface MakeContext {
  readonly extent: Extent;
  readonly hints: FeedHints;
  readonly sample: Sample;
  readonly inputs: readonly FeedInput[];
}

function makeAbsent(input: FeedInput, context: MakeContext): TensorValue {
  const { extent, hints } = context;
  const { name, dataType } = input;
  const role = roleOf(name);
  if (role === 'cache') {
    if (isReadUnfilled(input, context)) {
      throw unfed(input, context, ', and what an encoder computes is never empty');
    }
    return emptyCache(input, extent.batch, hints);
  }
  if (role === 'cache-switch') {
    return filledValue(dataType, concreteDims(input), usesCache(context) ? 1 : 0);
  }
  if (role === 'all-logits') return filledValue(dataType, concreteDims(input), 0);
  const length = role === 'encoder-mask' ? extent.encoderLength : extent.length;
  if (role === undefined || length === undefined) throw unfed(input, context);
  const isMask = role === 'mask' || role === 'encoder-mask';
  const dims = tokenDims(input, extent.batch, role === 'mask' ? length + extent.past : length);
  if (isMask) return filledValue(dataType, dims, 1);
  if (role === 'token-types') return filledValue(dataType, dims, 0);
  const positions = Int32Array.from(
    { length: elementCount(dims) },
    (_, at) => extent.past + (at % length),
  );
  return castValue({ dataType: 'int32', dims, data: positions }, dataType, `input ${name}`);
}

/**
 * Says whether the branch with a cache is run: with one that the sample brings, else by every other sample, so
 * that both branches are seen. With an empty cache it computes what the other one does.
 */
function usesCache({ extent, inputs, sample }: MakeContext): boolean {
  const lacksEncoder = inputs.some(
    (input) => holdsEncoder(input) && !sample.values.has(input.name),
  );
  return !lacksEncoder && (extent.past > 0 || sample.index % 2 === 1);
}

/**
 * Says whether an absent cache would be read for what an encoder left in it. Exports of both branches
 * read it only where `use_cache_branch` is true, and there that is made false.
 */
function isReadUnfilled(input: FeedInput, { inputs, sample }: MakeContext): boolean {
  if (!holdsEncoder(input)) return false;
  const choice = inputs.find(({ name }) => roleOf(name) === 'cache-switch');
  return choice === undefined || Number(sample.values.get(choice.name)?.data[0] ?? 0) !== 0;
}

function holdsEncoder({ name, isEncoderCache }: FeedInput): boolean {
  return isEncoderCache === true || isNamedEncoderCache(name);
}

function unfed({ name }: FeedInput, { sample }: MakeContext, also = ''): UnsupportedError {
  const got = [...sample.values.keys()].join(', ');
  return new UnsupportedError(
    `input ${name}: nothing in the data set feeds it${also} (got ${got}, expected an array named ${name}). Add one: kind tensors takes arrays for every input.`,
  );
}

/**
 * Dims of a mask or of positions: the last axis counts tokens, past ones too, the axes before it are
 * the batch, or the 3 of multi-axis rotary positions.
 */
function tokenDims(input: FeedInput, batch: number, length: number): readonly number[] {
  const { name, dims } = input;
  const isMask = roleOf(name) === 'mask' || roleOf(name) === 'encoder-mask';
  if (dims.length === 0 || dims.length > (isMask ? 2 : 3)) {
    throw new UnsupportedError(
      `input ${name}: no rule makes it at rank ${dims.length} (expected ${isMask ? '1 or 2' : '1 to 3'}). Add an array named ${name} to a data set of kind tensors.`,
    );
  }
  const shape = dims.map((dim, axis) => {
    if (axis === dims.length - 1) return length;
    if (typeof dim === 'number' && dim > 0) return dim;
    return axis === dims.length - 2 ? batch : 1;
  });
  const fixed = dims.at(-1);
  if (typeof fixed === 'number' && fixed > 0 && fixed !== length) {
    throw new UnsupportedError(
      `input ${name}: fixed length (got ${length} tokens, expected ${fixed}). Use --sequence-length ${fixed}.`,
    );
  }
  return shape;
}

function concreteDims({ dims }: FeedInput): readonly number[] {
  return dims.map((dim) => (typeof dim === 'number' && dim >= 0 ? dim : 1));
}

/** Refuses ids that a table has no row for, which a runtime would refuse in words of its own. */
function requireRows({ name, table }: FeedInput, { data }: TensorValue, { index }: Sample): void {
  if (table === undefined) return;
  for (const element of data) {
    const id = Number(element);
    if (id < table.rows && id >= -table.rows) continue;
    const what = roleOf(name) === 'positions' ? 'position' : 'token';
    const cure =
      what === 'position'
        ? `Use --sequence-length ${table.rows}.`
        : 'Use the tokenizer that belongs to the model.';
    throw new UsageError(
      `sample ${index}: ${name} holds ${what} ${id}, for which ${table.name} has no row (got ${id}, expected less than ${table.rows}). ${cure}`,
    );
  }
}
