/** Attention operators, taken apart: the fused operator of Core ML has had wrong results on several units. */
import { floatAttribute, intAttribute } from '../../../ir/attributes.ts';
import type { Node } from '../../../ir/model.ts';
import { inlineTensor } from '../../../ir/tensor.ts';
import type { Ref } from '../builder.ts';
import { convertConstant, MASKED } from '../convert-constant.ts';
import {
  castTo,
  define,
  type Lowering,
  type LowerNode,
  NotLowered,
  read,
  reshaped,
} from '../lowering.ts';
import { rotated } from './rotary.ts';

/** The operands of one attention, heads apart: [batch, heads, rows, channels]. */
interface Parts {
  readonly query: Ref;
  readonly key: Ref;
  readonly value: Ref;
  /** What is added to the scores. */
  readonly mask: Ref | undefined;
  readonly scale: number;
}

function attend(
  lowering: Lowering,
  wanted: string,
  { query, key, value, mask, scale }: Parts,
): Ref {
  const { builder } = lowering;
  const heads = Number(query.type.dims[1]);
  const scaled = builder.emit('mul', `${wanted}_scaled`, { x: query, y: scale });
  const scores = builder.emit('matmul', `${wanted}_scores`, {
    x: scaled,
    y: repeated(lowering, key, heads, `${wanted}_keys`),
    transpose_y: true,
  });
  const masked =
    mask === undefined ? scores : builder.emit('add', `${wanted}_masked`, { x: scores, y: mask });
  const shares = builder.emit('softmax', `${wanted}_shares`, { x: masked, axis: -1 });
  return builder.emit('matmul', `${wanted}_mixed`, {
    x: shares,
    y: repeated(lowering, value, heads, `${wanted}_values`),
  });
}

/** Heads that share a key or value head each get a copy. */
function repeated(lowering: Lowering, x: Ref, heads: number, wanted: string): Ref {
  const [batch = 1, own = 1, rows = 1, channels = 1] = x.type.dims.map(Number);
  if (own === heads) return x;
  const apart = reshaped(lowering, x, [batch, own, 1, rows * channels], `${wanted}_apart`);
  const copies = lowering.builder.emit('tile', `${wanted}_copies`, {
    x: apart,
    reps: [1, 1, heads / own, 1],
  });
  return reshaped(lowering, copies, [batch, heads, rows, channels], wanted);
}

/** [batch, rows, heads * channels] -> [batch, heads, rows, channels]. */
function headsApart(lowering: Lowering, x: Ref, heads: number, wanted: string): Ref {
  const [batch = 1, rows = 1, width = 1] = x.type.dims.map(Number);
  const split = reshaped(lowering, x, [batch, rows, heads, width / heads], `${wanted}_split`);
  return lowering.builder.emit('transpose', wanted, { x: split, perm: [0, 2, 1, 3] });
}

function headsTogether(lowering: Lowering, x: Ref, wanted: string): Ref {
  const [batch = 1, heads = 1, rows = 1, channels = 1] = x.type.dims.map(Number);
  const turned = lowering.builder.emit('transpose', `${wanted}_turned`, { x, perm: [0, 2, 1, 3] });
  return reshaped(lowering, turned, [batch, rows, heads * channels], wanted);
}

/** ONNX Attention (opset 23): operands of rank 3 or 4, boolean or additive mask. */
const lowerAttention: LowerNode = (lowering, node) => {
  const [q = '', k = '', v = '', mask = '', past = ''] = node.inputs;
  const output = node.outputs[0] ?? '';
  if (node.domain === 'com.microsoft') throw new NotLowered('packs query, key and value');
  if (past !== '' || node.outputs.slice(1).some((name) => name !== ''))
    throw new NotLowered('keeps a cache of its own');
  if (floatAttribute(node, 'softcap', 0) !== 0 || intAttribute(node, 'is_causal', 0) !== 0)
    throw new NotLowered('caps its scores or masks by itself');
  const [query, key, value] = [read(lowering, q), read(lowering, k), read(lowering, v)];
  const isFlat = query.type.dims.length === 3;
  const heads = intAttribute(node, 'q_num_heads', 1);
  const own = intAttribute(node, 'kv_num_heads', heads);
  const split = (x: Ref, count: number, name: string): Ref =>
    isFlat ? headsApart(lowering, x, count, `${output}_${name}`) : x;
  const parts = {
    query: split(query, heads, 'query'),
    key: split(key, own, 'key'),
    value: split(value, own, 'value'),
  };
  const scale = floatAttribute(node, 'scale', 1 / Math.sqrt(Number(parts.query.type.dims.at(-1))));
  const mixed = attend(lowering, output, {
    ...parts,
    scale,
    mask: mask === '' ? undefined : additive(lowering, mask),
  });
  define(lowering, node, isFlat ? headsTogether(lowering, mixed, output) : mixed);
};

function additive(lowering: Lowering, mask: string): Ref {
  const given = read(lowering, mask);
  if (given.type.dataType !== 'bool') return given;
  const key = `${given.name}|additive`;
  const known = lowering.constants.get(key);
  if (known !== undefined) return known;
  const { builder } = lowering;
  const scaled = builder.emit('mul', `${given.name}_scaled`, {
    x: castTo(lowering, given, 'fp16'),
    y: -MASKED,
  });
  const made = builder.emit('add', `${given.name}_additive`, { x: scaled, y: MASKED });
  lowering.constants.set(key, made);
  return made;
}

/** onnxruntime's GroupQueryAttention with caches that are concatenated: rotary, cache, causality. */
const lowerGroupQuery: LowerNode = (lowering, node) => {
  const { builder } = lowering;
  const [, , , pastKey = '', pastValue = ''] = node.inputs;
  const output = node.outputs[0] ?? '';
  if (node.inputs.slice(9).some((name) => name !== ''))
    throw new NotLowered('has positions, a bias or sinks of its own');
  if (
    floatAttribute(node, 'softcap', 0) !== 0 ||
    intAttribute(node, 'local_window_size', -1) !== -1
  ) {
    throw new NotLowered('caps its scores or has a window');
  }
  const past = pastKey === '' ? 0 : Number(read(lowering, pastKey).type.dims[2]);
  const [newQuery, newKey, newValue] = groupQueryParts(lowering, node);
  const turn = (x: Ref, part: string): Ref => turned(lowering, node, { x, past, part });
  const joined = (cache: string, x: Ref, wanted: string): Ref =>
    cache === ''
      ? x
      : builder.emit('concat', wanted, { values: [read(lowering, cache), x], axis: 2 });
  const query = turn(newQuery, 'query');
  const key = joined(pastKey, turn(newKey, 'key'), node.outputs[1] || `${output}_present_key`);
  const value = joined(pastValue, newValue, node.outputs[2] || `${output}_present_value`);
  define(lowering, node, key, 1);
  define(lowering, node, value, 2);
  lowering.findings.push({
    node: node.name,
    message: 'takes all tokens as valid: attention_mask must be all ones',
  });
  const rows = Number(query.type.dims[2]);
  const scale = floatAttribute(node, 'scale', 0) || 1 / Math.sqrt(Number(query.type.dims.at(-1)));
  const mask = rows === 1 ? undefined : causal(lowering, rows, past);
  const mixed = attend(lowering, output, { query, key, value, mask, scale });
  define(lowering, node, headsTogether(lowering, mixed, output));
};

/** Query, key and value with heads apart, whether they come packed in one value or not. */
function groupQueryParts(lowering: Lowering, node: Node): readonly [Ref, Ref, Ref] {
  const [q = '', k = '', v = ''] = node.inputs;
  const output = node.outputs[0] ?? '';
  const [heads, own] = [intAttribute(node, 'num_heads', 1), intAttribute(node, 'kv_num_heads', 1)];
  let [query, key, value] = [read(lowering, q), k, v].map((part) =>
    typeof part === 'string' && part !== '' ? read(lowering, part) : part,
  ) as [Ref, Ref | '', Ref | ''];
  if (key === '' || value === '') {
    const channels = Number(query.type.dims[2]) / (heads + 2 * own);
    const sizes = [heads * channels, own * channels, own * channels];
    const names = ['query', 'key', 'value'].map((part) => `${output}_${part}_packed`);
    [query, key, value] = lowering.builder.emitAll('split', names, {
      x: query,
      split_sizes: sizes,
      axis: 2,
    }) as [Ref, Ref, Ref];
  }
  const apart = (x: Ref, count: number, part: string): Ref =>
    headsApart(lowering, x, count, `${output}_${part}`);
  return [apart(query, heads, 'query'), apart(key, own, 'key'), apart(value, own, 'value')];
}

function turned(
  lowering: Lowering,
  node: Node,
  { x, past, part }: { readonly x: Ref; readonly past: number; readonly part: string },
): Ref {
  if (intAttribute(node, 'do_rotary', 0) !== 1) return x;
  const [cos = '', sin = ''] = node.inputs.slice(7);
  const isInterleaved = intAttribute(node, 'rotary_interleaved', 0) === 1;
  return rotated(lowering, x, {
    cos,
    sin,
    past,
    isInterleaved,
    wanted: `${node.outputs[0]}_${part}_rotated`,
  });
}

function causal(lowering: Lowering, rows: number, past: number): Ref {
  const key = `causal ${rows} ${past}`;
  const known = lowering.constants.get(key);
  if (known !== undefined) return known;
  const width = rows + past;
  const values = Float32Array.from({ length: rows * width }, (_, index) =>
    index % width > past + Math.floor(index / width) ? MASKED : 0,
  );
  const tensor = inlineTensor(
    'causal_mask',
    'float32',
    [1, 1, rows, width],
    new Uint8Array(values.buffer),
  );
  const made = lowering.builder.constant(
    'causal_mask',
    convertConstant(tensor, 'fp16', lowering.builder.specification),
  );
  lowering.constants.set(key, made);
  return made;
}

/** Rows by ONNX operator. */
export const ATTENTION: Readonly<Record<string, LowerNode>> = {
  Attention: lowerAttention,
  GroupQueryAttention: lowerGroupQuery,
};
