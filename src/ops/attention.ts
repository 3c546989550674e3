/** Attention and rotary embedding as single operators. */
import { intAttribute, intsAttribute } from '../ir/attributes.ts';
import type { Dim } from '../ir/model.ts';
import { addDims, divideDims, multiplyDims } from './dim.ts';
import { type Facts, type OpSpec, specs, UNKNOWN } from './op-spec.ts';

/** ai.onnx `Attention` (opset 23): 4-D `[B, heads, S, D]`, or 3-D with the head counts as attributes. */
const attention: OpSpec['infer'] = (node, inputs) => {
  const [q = UNKNOWN, k = UNKNOWN, v = UNKNOWN, , pastKey, pastValue] = inputs;
  const { dataType } = q;
  if (q.shape === undefined || k.shape === undefined || v.shape === undefined) {
    return node.outputs.map(() => ({ dataType }));
  }
  const heads = q.shape.length === 4 ? q.shape[1] : intAttribute(node, 'q_num_heads');
  const keyHeads = k.shape.length === 4 ? k.shape[1] : intAttribute(node, 'kv_num_heads');
  const headDim = (facts: Facts, count: Dim): Dim =>
    facts.shape?.length === 4 ? facts.shape[3] : divideDims(facts.shape?.[2], count);
  const valueDim = headDim(v, keyHeads);
  const total = addDims(pastKey?.shape?.[2] ?? (node.inputs[4] ? undefined : 0), k.shape.at(-2));
  const [batch] = q.shape;
  const rows = q.shape.at(-2);
  const output =
    q.shape.length === 4
      ? [batch, heads, rows, valueDim]
      : [batch, rows, multiplyDims(heads, valueDim)];
  return [
    { dataType, shape: output },
    {
      dataType: pastKey?.dataType ?? dataType,
      shape: [batch, keyHeads, total, headDim(k, keyHeads)],
    },
    { dataType: pastValue?.dataType ?? dataType, shape: [batch, keyHeads, total, valueDim] },
    { dataType, shape: [batch, heads, rows, total] },
  ];
};

/** com.microsoft `GroupQueryAttention`: query may hold packed q, k and v; output is `[B, S, heads * D]`. */
const groupQueryAttention: OpSpec['infer'] = (node, inputs) => {
  const [query = UNKNOWN, key, , pastKey = UNKNOWN] = inputs;
  const heads = intAttribute(node, 'num_heads');
  const keyHeads = intAttribute(node, 'kv_num_heads');
  const width = query.shape?.[2];
  const packed = (node.inputs[1] ?? '') === '';
  const columns =
    heads === undefined || keyHeads === undefined
      ? undefined
      : packed
        ? heads + 2 * keyHeads
        : heads;
  const headDim = divideDims(width, columns) ?? pastKey.shape?.[3];
  const present: Facts = {
    dataType: pastKey.dataType ?? query.dataType,
    shape: [query.shape?.[0], keyHeads, presentLength(query, key, pastKey), headDim],
  };
  const { dataType } = query;
  const output = [query.shape?.[0], query.shape?.[1], multiplyDims(heads, headDim)];
  return [{ dataType, shape: output }, present, present];
};

function presentLength(query: Facts, key: Facts | undefined, past: Facts): Dim {
  return addDims(past.shape?.[2], key?.shape?.[1] ?? query.shape?.[1]);
}

/** com.microsoft `MultiHeadAttention`: `[B, S, hidden]` in and out, value width `hidden_v`. */
const multiHeadAttention: OpSpec['infer'] = (node, inputs) => {
  const [query = UNKNOWN, key = UNKNOWN, value = UNKNOWN] = inputs;
  const { dataType, shape } = query;
  const heads = intAttribute(node, 'num_heads');
  if (shape === undefined || shape.length !== 3) return [{ dataType }];
  const width = value.shape?.length === 3 ? value.shape[2] : shape[2];
  const pastKey = inputs[6];
  const total = addDims(pastKey?.shape?.[2] ?? (node.inputs[6] ? undefined : 0), key.shape?.[1]);
  const present: Facts = { dataType, shape: [shape[0], heads, total, divideDims(width, heads)] };
  return [{ dataType, shape: [shape[0], shape[1], width] }, present, present];
};

/** com.microsoft `Attention`: one packed input projection `[hidden, q + k + v]` inside the op. */
const packedAttention: OpSpec['infer'] = (node, inputs) => {
  const [input = UNKNOWN, weights = UNKNOWN, , , past] = inputs;
  const { dataType, shape } = input;
  if (shape === undefined) return [{ dataType }];
  // Values may have a width of their own; queries, keys and values share the columns evenly otherwise.
  const stated = intsAttribute(node, 'qkv_hidden_sizes');
  const width = stated?.length === 3 ? stated[2] : divideDims(weights.shape?.[1], 3);
  const heads = intAttribute(node, 'num_heads');
  const total = addDims(past?.shape?.[3] ?? (node.inputs[4] ? undefined : 0), shape[1]);
  const present = [2, shape[0], heads, total, divideDims(width, heads)];
  return [
    { dataType, shape: [shape[0], shape[1], width] },
    { dataType: past?.dataType ?? dataType, shape: present },
  ];
};

const sameAsInput: OpSpec['infer'] = (_node, [input = UNKNOWN]) => [
  { dataType: input.dataType, shape: input.shape },
];

/** Attention operators. */
export const ATTENTION: readonly OpSpec[] = [
  ...specs(['Attention'], attention),
  ...specs(['RotaryEmbedding'], sameAsInput),
  ...specs(['GroupQueryAttention'], groupQueryAttention, 'com.microsoft'),
  ...specs(['MultiHeadAttention'], multiHeadAttention, 'com.microsoft'),
  ...specs(['Attention'], packedAttention, 'com.microsoft'),
  ...specs(['RotaryEmbedding'], sameAsInput, 'com.microsoft'),
];
