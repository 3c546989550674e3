import { UnsupportedError } from '../errors.ts';
import { isBatchDim, isPastDim } from '../structure/input-role.ts';
import { filledValue } from '../values/element-array.ts';
import type { TensorValue } from '../values/tensor-value.ts';
import { describeDims, type FeedHints, type FeedInput } from './feed-input.ts';

/**
 * Returns an empty KV cache: declared sizes stay, the batch is that of the sample and the past 0. Two
 * axes that the graph leaves open besides, heads and head size, come from the hints. Throws
 * {@link UnsupportedError} when the sizes are not known, or the length is fixed.
 */
export function emptyCache(input: FeedInput, batch: number, hints: FeedHints): TensorValue {
  const { name, dims } = input;
  const shape = dims.map((dim, axis): number | undefined => {
    if (typeof dim === 'number' && dim >= 0) return dim;
    const symbol = dim === undefined ? '' : String(dim);
    if (isBatchDim(dim)) return batch;
    if (isPastDim(dim)) return 0;
    if (/head_?(dim|size)|kv_cache_dim/i.test(symbol) && hints.headDim !== undefined) {
      return hints.headDim;
    }
    if (/head/i.test(symbol) && hints.kvHeads !== undefined) return hints.kvHeads;
    return axis === 0 ? batch : undefined;
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
  return filledValue(input.dataType, sizes, 0);
}

/** [batch, heads, past, head size], the layout of every exporter that names no axis. */
function fillFromHints(shape: (number | undefined)[], { kvHeads, headDim }: FeedHints): void {
  if (shape.length !== 4) return;
  shape[1] ??= kvHeads;
  shape[2] ??= 0;
  shape[3] ??= headDim;
}
