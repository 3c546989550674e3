/** onnxruntime's own attention operators. */
import { intAttribute, intsAttribute } from '../../ir/attributes.ts';
import type { Attribute, Node } from '../../ir/model.ts';
import {
  type AxisRule,
  inputAt,
  isSame,
  outputAt,
  type ResizeContext,
  type Resized,
  type RuleContext,
} from '../axis-rule.ts';
import {
  biasPlaces,
  followHeads,
  type HeadAxis,
  type HeadPlaces,
  headAxis,
  headCounts,
  present,
  unknownInput,
  widthOf,
} from './attention-heads.ts';

/** Inputs of GroupQueryAttention whose place in the list this file knows, up to `query_seqlens`. */
const GROUP_QUERY_INPUTS = 17;
const SCALES = [12, 13];

function groupQueryPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const [heads, groups] = [
    intAttribute(node, 'num_heads', 0),
    intAttribute(node, 'kv_num_heads', 0),
  ];
  const packed = (node.inputs[1] ?? '') === '';
  const width = widthOf(context, inputAt(0), packed ? heads + 2 * groups : heads);
  if (width === undefined || groups === 0) return 'the width of a head is unknown';
  const other = unknownInput(node, GROUP_QUERY_INPUTS) ?? scalesOf(node, context, heads, groups);
  if (other !== undefined) return other;
  const bias = biasPlaces(node, context, 10, heads);
  if (typeof bias === 'string') return bias;
  const query = [headAxis(inputAt(0), 2, width), headAxis(outputAt(0), 2, width)];
  const keyValue = packed
    ? [
        headAxis(inputAt(0), 2, width, heads * width),
        headAxis(inputAt(0), 2, width, (heads + groups) * width),
      ]
    : [headAxis(inputAt(1), 2, width), headAxis(inputAt(2), 2, width)];
  const caches = [inputAt(3), inputAt(4), outputAt(1), outputAt(2)].map((operand) =>
    headAxis(operand, 1),
  );
  // The sink and the scores that it gives out have one entry for each query head.
  const perHead = [...bias, headAxis(inputAt(11), 0), headAxis(outputAt(3), 1)];
  return {
    heads,
    groups,
    query: present(node, [...query, ...perHead]),
    keyValue: present(node, [...keyValue, ...caches]),
  };
}

/** Scales of a quantized cache stay where key heads do; one for each channel has no place here otherwise. */
function scalesOf(
  node: Node,
  context: RuleContext,
  heads: number,
  groups: number,
): string | undefined {
  if (heads !== groups) return undefined;
  const index = SCALES.find((at) => {
    const shape = (node.inputs[at] ?? '') === '' ? [] : context.shape(inputAt(at));
    return shape === undefined || !shape.every((dim) => dim === 1);
  });
  return index === undefined ? undefined : 'the scales of its cache lie along heads and channels';
}

/** Returns the head counts after the cut, from the widths of the output. */
function resizeCounts(node: Node, context: ResizeContext): Resized | string | undefined {
  if (context.kept(outputAt(0), 2) === undefined) return undefined;
  const [heads, groups] = [
    intAttribute(node, 'num_heads', 0),
    intAttribute(node, 'kv_num_heads', 0),
  ];
  const [before, after] = [context.shape(outputAt(0))?.[2], context.shapeAfter(outputAt(0))?.[2]];
  const left = (heads * Number(after)) / Number(before);
  if (!Number.isInteger(left)) return 'the number of heads is unknown';
  return headCounts(node, { num_heads: left, kv_num_heads: heads === groups ? left : groups });
}

const groupQuery: AxisRule = {
  opTypes: ['GroupQueryAttention'],
  domains: ['com.microsoft'],
  follow: (node, at, context) => followHeads(at, groupQueryPlaces(node, context), context),
  resize: resizeCounts,
};

/** Inputs of MultiHeadAttention up to `cache_indirection`. */
const MULTI_HEAD_INPUTS = 10;

function multiHeadPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const heads = intAttribute(node, 'num_heads', 0);
  const scores = biasPlaces(node, context, 5, heads);
  if (typeof scores === 'string') return scores;
  const other = unknownInput(node, MULTI_HEAD_INPUTS);
  if (other !== undefined) return other;
  const places: HeadAxis[] = [...scores];
  for (const index of [0, 1, 2]) {
    if ((node.inputs[index] ?? '') === '') continue;
    const shape = context.shape(inputAt(index));
    if (shape?.length === 5) places.push(headAxis(inputAt(index), 2));
    else if (shape?.length === 4) places.push(headAxis(inputAt(index), 1));
    else {
      const width = widthOf(context, inputAt(index), heads);
      if (width === undefined) return 'the width of a head is unknown';
      places.push(headAxis(inputAt(index), 2, width));
    }
  }
  const outputWidth = widthOf(context, outputAt(0), heads);
  if (outputWidth === undefined) return 'the width of a head is unknown';
  const bias = multiHeadBias(node, places, heads);
  if (typeof bias === 'string') return bias;
  const caches = [inputAt(6), inputAt(7), outputAt(1), outputAt(2), outputAt(3)].map((operand) =>
    headAxis(operand, 1),
  );
  places.push(...bias, headAxis(outputAt(0), 2, outputWidth), ...caches);
  return { heads, groups: heads, query: present(node, places), keyValue: [] };
}

/** One vector holds the biases of query, key and value, one after the other. */
function multiHeadBias(
  node: Node,
  places: readonly HeadAxis[],
  heads: number,
): readonly HeadAxis[] | string {
  if ((node.inputs[3] ?? '') === '') return [];
  const widths = [0, 1, 2].map((index) => places.find((place) => isSame(place, inputAt(index))));
  if (!widths.every((place) => place?.axis === 2 && place.width > 1))
    return 'query, key and value share one bias input';
  let first = 0;
  return widths.map((place) => {
    const own = headAxis(inputAt(3), 0, place!.width, first);
    first += heads * place!.width;
    return own;
  });
}

const multiHead: AxisRule = {
  opTypes: ['MultiHeadAttention'],
  domains: ['com.microsoft'],
  follow: (node, at, context) => followHeads(at, multiHeadPlaces(node, context), context),
  resize: resizeCounts,
};

/** Inputs of Attention up to `past_sequence_length`. */
const PACKED_INPUTS = 7;

/** Columns of query, key and value in the one weight. */
function packedSizes(node: Node, context: RuleContext): readonly number[] | undefined {
  const total = context.shape(inputAt(1))?.[1];
  const stated = intsAttribute(node, 'qkv_hidden_sizes') ?? [];
  if (typeof total !== 'number') return undefined;
  const sizes = stated.length === 3 ? stated : Array<number>(3).fill(total / 3);
  return sizes.reduce((sum, size) => sum + size, 0) === total ? sizes : undefined;
}

/** com.microsoft `Attention`: one weight `[in, q + k + v]` inside the operator. */
function packedPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const heads = intAttribute(node, 'num_heads', 0);
  const sizes = packedSizes(node, context);
  if (sizes === undefined || heads === 0) return 'the width of a head is unknown';
  const other = unknownInput(node, PACKED_INPUTS);
  if (other !== undefined) return other;
  const bias = biasPlaces(node, context, 5, heads);
  if (typeof bias === 'string') return bias;
  // The cache holds keys and values as `[2, B, heads, S, D]`.
  const places: HeadAxis[] = [...bias, headAxis(inputAt(4), 2), headAxis(outputAt(1), 2)];
  let first = 0;
  for (const size of sizes) {
    const width = size / heads;
    if (!Number.isInteger(width)) return 'the width of a head is unknown';
    places.push(headAxis(inputAt(1), 1, width, first), headAxis(inputAt(2), 0, width, first));
    first += size;
  }
  places.push(headAxis(outputAt(0), 2, (sizes[2] ?? 0) / heads));
  return { heads, groups: heads, query: present(node, places), keyValue: [] };
}

const packed: AxisRule = {
  opTypes: ['Attention'],
  domains: ['com.microsoft'],
  follow(node, at, context) {
    if (at.side === 'input' && at.index === 0) return 'the residual width stays';
    if (at.side === 'input' && at.index === 1 && at.axis === 0) return 'the residual width stays';
    return followHeads(at, packedPlaces(node, context), context);
  },
  resize(node, context) {
    const resized = resizeCounts(node, context);
    if (resized === undefined || typeof resized === 'string') return resized;
    const sizes = packedSizes(node, context);
    const left = resized.attributes?.get('num_heads');
    if (sizes === undefined || left?.kind !== 'int') return 'the number of heads is unknown';
    const heads = intAttribute(node, 'num_heads', 0);
    const scaled = sizes.map((size) => BigInt(size / heads) * left.value);
    // Stated from now on, because the hidden size no longer is that of the input.
    return {
      attributes: new Map<string, Attribute>([
        ...(resized.attributes ?? []),
        ['qkv_hidden_sizes', { name: 'qkv_hidden_sizes', kind: 'ints', value: scaled }],
      ]),
    };
  },
};

/** Attention operators of com.microsoft. */
export const CONTRIB_ATTENTION: readonly AxisRule[] = [groupQuery, multiHead, packed];
