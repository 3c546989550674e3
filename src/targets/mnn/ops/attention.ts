/** Attention operators of ONNX and of onnxruntime. */
import { floatAttribute, intAttribute } from '../../../ir/attributes.ts';
import type { Node } from '../../../ir/model.ts';
import { type Lowering, type LowerNode, OTHER_TARGET, refuseNode, shapeOf } from '../lowering.ts';
import {
  type AttentionSpec,
  type Axis,
  addAttention,
  causalBias,
  joinHeads,
  maskBias,
  positions,
  splitHeads,
  unsqueeze,
} from './attention-core.ts';
import { gatherAxis } from './gather.ts';
import { concat, splitSizes } from './rearrange.ts';
import { ROTARY, rotate } from './rotary.ts';

type Bias = AttentionSpec['biases'][number];

/** Throws when one of the inputs from `start` on is given. */
function refuseInputs(node: Node, start: number, what: string): void {
  if (node.inputs.slice(start).some((name) => name !== '')) refuseNode(node, what, OTHER_TARGET);
}

/** Past keys or values before new ones, along the axis of positions. */
function afterPast(lowering: Lowering, past: string, fresh: string, output: string): string {
  const target = output === '' ? lowering.fresh(`${fresh}_present`) : output;
  if (past === '') {
    lowering.alias(target, fresh);
    return fresh;
  }
  return concat(lowering, [lowering.read(past), fresh], 2, target);
}

/** ai.onnx Attention: q, k, v, mask, past key and value; of rank 4, or of rank 3 with head counts. */
const attention: LowerNode = (lowering, node) => {
  const [q = '', k = '', v = '', mask = '', pastKey = '', pastValue = ''] = node.inputs;
  refuseInputs(node, 6, 'lengths of keys that differ by row');
  if ((node.outputs[3] ?? '') !== '') refuseNode(node, 'its scores are read', OTHER_TARGET);
  const sizes = [q, k, v].map((name, index) =>
    headsOf(lowering, node, name, index === 0 ? 'q_num_heads' : 'kv_num_heads'),
  );
  const [query, keys, values] = sizes.map(({ heads, width, rank }, index) => {
    const tensor = lowering.read([q, k, v][index] ?? '');
    return rank === 4 ? tensor : splitHeads(lowering, tensor, heads, width);
  }) as [string, string, string];
  const [ofQuery, ofKey, ofValue] = sizes as [HeadSizes, HeadSizes, HeadSizes];
  const key = afterPast(lowering, pastKey, keys, node.outputs[1] ?? '');
  const value = afterPast(lowering, pastValue, values, node.outputs[2] ?? '');
  const biases: Bias[] = mask === '' ? [] : [attentionBias(lowering, node, mask)];
  if (intAttribute(node, 'is_causal', 0) === 1) {
    const rows: Axis = { tensor: query, axis: 2, dim: ofQuery.rows };
    const past = pastKey === '' ? undefined : axisOf(lowering, pastKey);
    const columns: Axis = {
      tensor: key,
      axis: 2,
      dim: past === undefined ? ofKey.rows : undefined,
    };
    const bias = causalBias(lowering, rows, presentKeyAxis(columns, past), past);
    biases.push({ tensor: bias, rank: 2 });
  }
  const mixed = addAttention(
    lowering,
    {
      query,
      key,
      value,
      heads: ofQuery.heads,
      kvHeads: ofKey.heads,
      keyWidth: ofQuery.width,
      valueWidth: ofValue.width,
      scale: floatAttribute(node, 'scale') ?? 1 / Math.sqrt(ofQuery.width),
      softcap: floatAttribute(node, 'softcap', 0),
      biases,
    },
    ofQuery.rank === 4 ? node.outputs[0] : undefined,
  );
  if (ofQuery.rank === 3) {
    joinHeads(lowering, mixed, ofQuery.heads * ofValue.width, node.outputs[0] ?? '');
  }
};

interface HeadSizes {
  readonly rank: number;
  readonly heads: number;
  readonly width: number;
  readonly rows: Axis['dim'];
}

function headsOf(lowering: Lowering, node: Node, value: string, attribute: string): HeadSizes {
  const shape = shapeOf(lowering, node, value);
  const features = shape.at(-1);
  const heads = shape.length === 4 ? shape[1] : intAttribute(node, attribute);
  if (typeof heads !== 'number' || typeof features !== 'number') {
    return refuseNode(node, 'its heads are not known', `State ${attribute} in the model.`);
  }
  const width = shape.length === 4 ? features : features / heads;
  return { rank: shape.length, heads, width, rows: shape.at(-2) };
}

function axisOf({ facts, read }: Lowering, value: string): Axis {
  return { tensor: read(value), axis: 2, dim: facts(value).shape?.[2] };
}

/** A mask of truth values or of numbers to add, against scores [B, heads, S, T]. */
function attentionBias(lowering: Lowering, node: Node, mask: string): Bias {
  const shape = shapeOf(lowering, node, mask);
  const read = lowering.read(mask);
  const tensor = lowering.facts(mask).dataType === 'bool' ? maskBias(lowering, read) : read;
  if (shape.length === 2) return { tensor, rank: 2 };
  // Of rank 3 the first axis is that of the heads.
  const wide = shape.length === 3 ? unsqueeze(lowering, tensor, [0]) : tensor;
  const heads = shape.at(-3);
  if (typeof heads !== 'number') {
    return refuseNode(node, 'a mask for a number of heads that a run knows', OTHER_TARGET);
  }
  return { tensor: wide, rank: 4, heads };
}

/** onnxruntime's GroupQueryAttention: causal, with a cache as input, rotating by its own tables. */
const groupQuery: LowerNode = (lowering, node) => {
  const [q = '', k = '', v = '', pastKey = '', pastValue = '', , , cos = '', sin = ''] =
    node.inputs;
  refuseInputs(node, 9, 'positions, biases or sinks of its own');
  const isPlain =
    intAttribute(node, 'local_window_size', -1) === -1 &&
    intAttribute(node, 'smooth_softmax', 0) <= 0;
  if (!isPlain) refuseNode(node, 'a window or a smooth softmax', OTHER_TARGET);
  const heads = intAttribute(node, 'num_heads', 0);
  const kvHeads = intAttribute(node, 'kv_num_heads', heads);
  const shape = shapeOf(lowering, node, q);
  const [, rows, features] = shape;
  const columns = k === '' ? heads + 2 * kvHeads : heads;
  const width = typeof features === 'number' ? features / columns : 0;
  if (heads < 1 || kvHeads < 1 || !Number.isInteger(width) || width < 1) {
    refuseNode(node, 'its heads are not known', 'State num_heads and kv_num_heads in the model.');
  }
  const packed = { query: q, key: k, value: v };
  const parts = projections(lowering, packed, [heads * width, kvHeads * width, kvHeads * width]);
  const counts = [heads, kvHeads, kvHeads];
  const [query, key, values] = parts.map((part, index) =>
    splitHeads(lowering, part, counts[index] ?? heads, width),
  ) as [string, string, string];
  const length: Axis = { tensor: lowering.read(q), axis: 1, dim: rows };
  const past = pastKey === '' ? undefined : axisOf(lowering, pastKey);
  const turned = (tensor: string, count: number): string => {
    if (intAttribute(node, 'do_rotary', 0) !== 1) return tensor;
    const at = positions(lowering, length, past);
    const half = lowering.facts(cos).shape?.[1];
    if (typeof half !== 'number') return refuseNode(node, 'its tables have no width', OTHER_TARGET);
    // [S, half]: broadcasts over batch and heads.
    const [c, s] = [cos, sin].map((name) => rowsAt(lowering, lowering.read(name), at));
    const isInterleaved = intAttribute(node, 'rotary_interleaved', 0) === 1;
    return rotate(lowering, tensor, count, {
      cos: c ?? '',
      sin: s ?? '',
      width,
      rotated: 2 * half,
      isInterleaved,
    });
  };
  const presentKey = afterPast(lowering, pastKey, turned(key, kvHeads), node.outputs[1] ?? '');
  const presentValue = afterPast(lowering, pastValue, values, node.outputs[2] ?? '');
  const keys: Axis = { tensor: presentKey, axis: 2, dim: past === undefined ? rows : undefined };
  const mixed = addAttention(lowering, {
    query: turned(query, heads),
    key: presentKey,
    value: presentValue,
    heads,
    kvHeads,
    keyWidth: width,
    valueWidth: width,
    scale: scaleOf(node, width),
    softcap: floatAttribute(node, 'softcap', 0),
    biases: [{ tensor: causalBias(lowering, length, presentKeyAxis(keys, past), past), rank: 2 }],
  });
  joinHeads(lowering, mixed, heads * width, node.outputs[0] ?? '');
  lowering.report({
    rule: 'mnn-whole-cache',
    severity: 'info',
    node: node.name,
    message:
      'all positions of the cache are read: rows of a batch have one length, as the mask of one prompt says.',
  });
};

/** All layers of a decoder have caches of one length, so their masks are one. */
function presentKeyAxis(keys: Axis, past: Axis | undefined): Axis {
  if (past === undefined || typeof past.dim !== 'string') return keys;
  return { ...keys, dim: `all after ${past.dim}` };
}

/** A scale of 0 means the usual one. */
function scaleOf(node: Node, width: number): number {
  const stated = floatAttribute(node, 'scale', 0);
  return stated === 0 ? 1 / Math.sqrt(width) : stated;
}

/** Rows of a table by positions that are not negative; tables are shared by all layers. */
function rowsAt(lowering: Lowering, table: string, at: string): string {
  const key = `rows ${at} of ${table}`;
  const known = lowering.made.get(key) ?? gatherAxis(lowering, table, at, 0);
  lowering.made.set(key, known);
  return known;
}

/** Query, key and value, which may be one tensor. */
function projections(
  lowering: Lowering,
  { query, key, value }: { readonly query: string; readonly key: string; readonly value: string },
  sizes: readonly number[],
): readonly string[] {
  if (key !== '') return [query, key, value].map((name) => lowering.read(name));
  const parts = ['query', 'key', 'value'].map((part) => lowering.fresh(`${query}_${part}`));
  splitSizes(lowering, lowering.read(query), 2, sizes, parts);
  return parts;
}

/** Attention rows by op type. */
export const ATTENTION: Readonly<Record<string, LowerNode>> = {
  ...ROTARY,
  Attention: attention,
  'com.microsoft.GroupQueryAttention': groupQuery,
};
