/** The feeds of a sample of tokens, made shorter or moved on by one token, in whatever arrays they come. */
import type { FeedInput } from '../../calibrate/feed-input.ts';
import { elementCount } from '../../ir/tensor.ts';
import {
  isBatchDim,
  isPastDim,
  isTokenIds,
  presentOf,
  roleOf,
} from '../../structure/input-role.ts';
import type { ElementArray, Feeds, TensorValue } from '../../values/tensor-value.ts';

/** The tokens of a sample: `batch` rows of `length`, behind `past` tokens in the caches that came with it. */
export interface TokenRows {
  readonly ids: FeedInput;
  readonly batch: number;
  readonly length: number;
  readonly past: number;
}

/** Returns the tokens that are fed, undefined when none of the inputs holds token ids. */
export function tokenRows(inputs: readonly FeedInput[], feeds: Feeds): TokenRows | undefined {
  const ids = inputs.find(({ name }) => isTokenIds(name));
  const value = ids && feeds.get(ids.name);
  const length = value?.dims.at(-1);
  if (ids === undefined || value === undefined || length === undefined) return undefined;
  const past = Math.max(0, ...ownCaches(inputs).map((input) => pastOf(input, feeds)));
  return { ids, batch: elementCount(value.dims.slice(0, -1)), length, past };
}

function isFixed({ ids }: TokenRows): boolean {
  return typeof ids.dims.at(-1) === 'number';
}

function ownCaches(inputs: readonly FeedInput[]): readonly FeedInput[] {
  return inputs.filter((input) => roleOf(input.name) === 'cache' && input.isEncoderCache !== true);
}

function pastOf({ name, dims }: FeedInput, feeds: Feeds): number {
  const axis = dims.findIndex(isPastDim);
  return feeds.get(name)?.dims.at(axis < 0 ? -2 : axis) ?? 0;
}

/**
 * Returns the feeds of the first `count` tokens of a single row: every array is cut along its token
 * axis. The same feeds where there are no more tokens, more rows than one, a past or a fixed length, or
 * an array of which nobody can say along which axis its tokens lie.
 */
export function cutTokens(inputs: readonly FeedInput[], feeds: Feeds, count: number): Feeds {
  const rows = tokenRows(inputs, feeds);
  if (rows === undefined || rows.batch > 1 || rows.past > 0 || rows.length <= count) return feeds;
  if (isFixed(rows)) return feeds;
  const cut = new Map<string, TensorValue>();
  for (const input of inputs) {
    const value = feeds.get(input.name);
    const axes = value && tokenAxes(input, value, rows);
    if (value === undefined || axes === undefined) return feeds;
    cut.set(
      input.name,
      axes.reduce((shorter, axis) => slice(shorter, axis, 0, count), value),
    );
  }
  return cut;
}

/**
 * Returns the feeds of the token after those of `feeds`, with the caches that the model gave for them as
 * the past; undefined when it gives none, or an array cannot be moved on.
 */
export function nextToken(
  inputs: readonly FeedInput[],
  feeds: Feeds,
  outputs: Feeds,
): Feeds | undefined {
  const rows = tokenRows(inputs, feeds);
  if (rows === undefined || rows.past > 0 || ownCaches(inputs).length === 0) return undefined;
  if (isFixed(rows)) return undefined;
  const next = new Map<string, TensorValue>();
  for (const input of inputs) {
    const value = feeds.get(input.name);
    const moved = value && moveOn(input, value, rows, outputs);
    if (moved === undefined) return undefined;
    next.set(input.name, moved);
  }
  return next;
}

function moveOn(
  input: FeedInput,
  value: TensorValue,
  rows: TokenRows,
  outputs: Feeds,
): TensorValue | undefined {
  const role = roleOf(input.name);
  if (role === 'cache') {
    if (input.isEncoderCache === true) return value;
    const present = presentOf(input.name, outputs.keys());
    return present === undefined ? undefined : outputs.get(present);
  }
  if (role === 'cache-switch') return { ...value, data: mapped(value.data, () => 1) };
  if (role === 'mask') return value.dims.length > 2 ? undefined : withOneMore(value);
  const axes = tokenAxes(input, value, rows);
  if (axes === undefined) return undefined;
  const last = axes.reduce((tail, axis) => slice(tail, axis, rows.length - 1, rows.length), value);
  if (role !== 'positions') return last;
  return { ...last, data: mapped(last.data, (position) => Number(position) + 1) };
}

/**
 * The axes of an array that count the tokens of a row: those declared like the axis of the ids, and the last
 * of masks, positions and token types. Undefined when another open axis has the same size.
 */
function tokenAxes(
  { name, dims }: FeedInput,
  value: TensorValue,
  { ids, length }: TokenRows,
): readonly number[] | undefined {
  const role = roleOf(name);
  if (role === 'cache' || role === 'all-logits' || role === 'cache-switch') return [];
  const symbol = ids.dims.at(-1);
  const isPerToken = isTokenIds(name) || (role !== undefined && role !== 'encoder-mask');
  const axes: number[] = [];
  for (const [axis, size] of value.dims.entries()) {
    const isLast = axis === value.dims.length - 1;
    const isOther = typeof dims[axis] === 'number' || (!isLast && isBatchDim(dims[axis]));
    if (size !== length || isOther) continue;
    if (!(isPerToken && isLast) && (symbol === undefined || dims[axis] !== symbol))
      return undefined;
    axes.push(axis);
  }
  return axes;
}

/** The part of a value from `start` to `end` along an axis. */
function slice(value: TensorValue, axis: number, start: number, end: number): TensorValue {
  const { dims, data } = value;
  const inner = elementCount(dims.slice(axis + 1));
  const outer = elementCount(dims.slice(0, axis));
  const size = dims[axis]!;
  const rows = Array.from({ length: outer }, (_, row) =>
    data.slice((row * size + start) * inner, (row * size + end) * inner),
  );
  return { ...value, dims: dims.with(axis, end - start), data: joined(rows, data) };
}

/** The value with the last column once more: a mask over one token more. */
function withOneMore(value: TensorValue): TensorValue {
  const { dims, data } = value;
  const size = dims.at(-1)!;
  const rows = Array.from({ length: elementCount(dims.slice(0, -1)) }, (_, row) => [
    data.slice(row * size, (row + 1) * size),
    data.slice((row + 1) * size - 1, (row + 1) * size),
  ]);
  return { ...value, dims: dims.with(-1, size + 1), data: joined(rows.flat(), data) };
}

function joined(parts: readonly ElementArray[], like: ElementArray): ElementArray {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new (like.constructor as typeof BigInt64Array)(length);
  let at = 0;
  for (const part of parts) {
    all.set(part as BigInt64Array, at);
    at += part.length;
  }
  return all;
}

function mapped(data: ElementArray, change: (element: number | bigint) => number): ElementArray {
  if (data instanceof BigInt64Array) return data.map((element) => BigInt(change(element)));
  return (data as Int32Array).map(change);
}
