/** Attention as product, softmax and product, on tensors of heads. */
import type { Dim } from '../../../ir/model.ts';
import { emit, type Lowering } from '../lowering.ts';
import { dimOf } from '../sizes.ts';
import { binary, unary } from './elementwise.ts';
import { matMul } from './products.ts';
import { concat, permute } from './rearrange.ts';

/** Added to scores that are masked: half of float32's lowest, so that a sum with it stays finite. */
const MASKED = -1.7e38;

/** What attention is computed from. */
export interface AttentionSpec {
  /** [B, heads, S, keyWidth]. */
  readonly query: string;
  /** [B, kvHeads, T, keyWidth] and [B, kvHeads, T, valueWidth]. */
  readonly key: string;
  readonly value: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly keyWidth: number;
  readonly valueWidth: number;
  readonly scale: number;
  /** Scores end at +- this; 0 for never. */
  readonly softcap: number;
  /** What is added to the scores: of rank 2 [S, T], or of rank 4 with one or all `heads`. */
  readonly biases: readonly {
    readonly tensor: string;
    readonly rank: number;
    readonly heads?: number;
  }[];
}

/** Adds a Reshape to fixed dims, where 0 copies an axis and -1 takes the rest. */
export function reshapeTo(
  lowering: Lowering,
  tensor: string,
  dims: readonly number[],
  output: string = lowering.fresh(`${tensor}_shaped`),
): string {
  return emit(lowering, 'Reshape', [tensor], output, { kind: 'Reshape', value: { dims } });
}

/** Adds axes of size 1; `axes` are those of the result, ascending. */
export function unsqueeze(lowering: Lowering, tensor: string, axes: readonly number[]): string {
  return emit(lowering, 'Unsqueeze', [tensor], lowering.fresh(`${tensor}_wide`), {
    kind: 'SqueezeParam',
    value: { squeezeDims: axes },
  });
}

/** [B, S, heads * width] -> [B, heads, S, width]. */
export function splitHeads(
  lowering: Lowering,
  tensor: string,
  heads: number,
  width: number,
): string {
  return permute(lowering, reshapeTo(lowering, tensor, [0, 0, heads, width]), [0, 2, 1, 3]);
}

/** [B, heads, S, width] -> [B, S, heads * width]. */
export function joinHeads(
  lowering: Lowering,
  tensor: string,
  features: number,
  output: string,
): void {
  reshapeTo(lowering, permute(lowering, tensor, [0, 2, 1, 3]), [0, 0, features], output);
}

/**
 * Adds attention and returns [B, heads, S, valueWidth]. MNN's own Attention op is right at batch 1 alone. The queries of
 * heads that share a key stand one below the other, as more rows of one head: no product broadcasts then.
 */
export function addAttention(lowering: Lowering, spec: AttentionSpec, output?: string): string {
  const { heads, kvHeads, keyWidth, valueWidth, softcap } = spec;
  const isGrouped = heads !== kvHeads;
  const scaled = binary(lowering, 'mul', [spec.query, lowering.floatsOf([spec.scale], [])]);
  const query = isGrouped ? reshapeTo(lowering, scaled, [0, kvHeads, -1, keyWidth]) : scaled;
  let scores = matMul(lowering, query, spec.key, { transposeB: true });
  if (softcap > 0) {
    const cap = lowering.floatsOf([softcap], []);
    const bent = unary(lowering, 'tanh', binary(lowering, 'realDiv', [scores, cap]));
    scores = binary(lowering, 'mul', [bent, cap]);
  }
  for (const bias of spec.biases) {
    const rows = isGrouped ? stackedBias(lowering, bias, spec) : bias.tensor;
    scores = binary(lowering, 'add', [scores, rows]);
  }
  const weights = emit(lowering, 'Softmax', [scores], lowering.fresh('attention_weights'), {
    kind: 'Axis',
    value: { axis: -1 },
  });
  if (!isGrouped) return matMul(lowering, weights, spec.value, {}, output);
  const mixed = matMul(lowering, weights, spec.value);
  return reshapeTo(lowering, mixed, [0, heads, -1, valueWidth], output);
}

/** A bias for the rows of the queries of all heads that share a key. */
function stackedBias(
  lowering: Lowering,
  { tensor, rank, heads = 1 }: AttentionSpec['biases'][number],
  { heads: all, kvHeads }: AttentionSpec,
): string {
  if (heads !== 1) return reshapeTo(lowering, tensor, [0, kvHeads, -1, 0]);
  const group = all / kvHeads;
  return once(lowering, `${group} times ${tensor}`, () =>
    concat(lowering, new Array<string>(group).fill(tensor), rank - 2),
  );
}

/** The size of an axis of a tensor, and its name where it has one. */
export interface Axis {
  readonly tensor: string;
  readonly axis: number;
  readonly dim: Dim;
}

/** Positions `past..past + length - 1` as integers; `past` undefined stands for 0. Computed once for equal sizes. */
export function positions(lowering: Lowering, length: Axis, past: Axis | undefined): string {
  return once(lowering, `positions ${nameOf(length)} after ${past && nameOf(past)}`, () => {
    const start = past === undefined ? lowering.ints([0]) : sizeOf(lowering, past);
    const end = binary(lowering, 'add', [start, sizeOf(lowering, length)], undefined, 'int');
    return emit(lowering, 'Range', [start, end, lowering.ints([1])], lowering.fresh('positions'), {
      kind: 'Range',
      value: { Tidx: 3 },
    });
  });
}

/**
 * Returns [S, T]: 0 where a query may look, {@link MASKED} at keys after it. Query i stands at position `past + i`.
 */
export function causalBias(
  lowering: Lowering,
  queries: Axis,
  keys: Axis,
  past: Axis | undefined,
): string {
  const name = `causal ${nameOf(queries)} ${nameOf(keys)} after ${past && nameOf(past)}`;
  return once(lowering, name, () => {
    const rows = unsqueeze(lowering, positions(lowering, queries, past), [1]);
    const columns = positions(lowering, keys, undefined);
    const visible = binary(lowering, 'lessEqual', [columns, rows], undefined, 'int');
    return maskBias(lowering, visible);
  });
}

/** Returns 0 where an integer mask is not 0, {@link MASKED} elsewhere. */
export function maskBias(lowering: Lowering, mask: string): string {
  const inputs = [mask, lowering.floatsOf([0], []), lowering.floatsOf([MASKED], [])];
  return emit(lowering, 'Select', inputs, lowering.fresh('mask_bias'));
}

/** Axes of equal names have equal sizes; one without a name is known by its tensor. */
function nameOf({ tensor, axis, dim }: Axis): string {
  return dim === undefined ? `${tensor}[${axis}]` : JSON.stringify(dim);
}

function sizeOf(lowering: Lowering, { tensor, axis, dim }: Axis): string {
  return typeof dim === 'number' ? lowering.ints([dim]) : dimOf(lowering, tensor, axis);
}

function once(lowering: Lowering, key: string, make: () => string): string {
  const known = lowering.made.get(key) ?? make();
  lowering.made.set(key, known);
  return known;
}
