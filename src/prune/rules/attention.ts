import { intAttribute, intsAttribute } from '../../ir/attributes.ts';
import type { Attribute, Node } from '../../ir/model.ts';
import {
  type AxisRule,
  type AxisUnits,
  inputAt,
  isSame,
  type LabelledAxis,
  NO_UNIT,
  type Operand,
  operandsOf,
  outputAt,
  type ResizeContext,
  type RuleContext,
  type Spread,
  unitsOver,
} from '../axis-rule.ts';

/** Where the heads of an operand lie. */
interface HeadAxis extends Operand {
  readonly axis: number;
  /** Elements of a head along the axis: 1 for an axis of heads. */
  readonly width: number;
  /** Index of the first head. */
  readonly first: number;
}

/** How an attention operator holds its heads. */
interface HeadPlaces {
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Of each operand, where query heads lie. */
  readonly query: readonly HeadAxis[];
  /** Of each operand, where key or value heads lie. */
  readonly keyValue: readonly HeadAxis[];
}

/** Units of heads out of those along an axis: a head is the unit of its first element. */
function headUnits(at: LabelledAxis, place: HeadAxis, heads: number, size: number): AxisUnits {
  const along = unitsOver(at.units, size);
  return Int32Array.from({ length: heads }, (_, head) => {
    const start = place.first + head * place.width;
    const own = along.subarray(start, start + place.width);
    return own.find((unit) => unit !== NO_UNIT) ?? NO_UNIT;
  });
}

function spreadHeads(
  units: AxisUnits,
  places: readonly HeadAxis[],
  context: RuleContext,
): readonly LabelledAxis[] | undefined {
  const axes: LabelledAxis[] = [];
  for (const { side, index, axis, width, first } of places) {
    const size = context.shape({ side, index })?.[axis];
    if (typeof size !== 'number') return undefined;
    const along = new Int32Array(size).fill(NO_UNIT);
    units.forEach((unit, head) => {
      along.fill(unit, first + head * width, first + (head + 1) * width);
    });
    axes.push({ side, index, axis, units: along });
  }
  return axes;
}

/** Query heads go alone where several share a key head, together with it where each has its own. */
function followHeads(
  at: LabelledAxis,
  places: HeadPlaces | string,
  context: RuleContext,
): Spread | string {
  if (typeof places === 'string') return places;
  const { heads, groups, query, keyValue } = places;
  const onQuery = query.find((place) => isSame(place, at) && place.axis === at.axis);
  const onKey = keyValue.find((place) => isSame(place, at) && place.axis === at.axis);
  const place = onQuery ?? onKey;
  const size = context.shape(at)?.[at.axis];
  if (place === undefined || typeof size !== 'number') return 'the channels lie inside a head';
  if (onQuery === undefined && heads !== groups)
    return 'key and value heads serve several query heads';
  const units = headUnits(at, place, heads, size);
  const spread = spreadHeads(units, heads === groups ? [...query, ...keyValue] : query, context);
  if (spread === undefined) return 'the number of heads is unknown';
  return { axes: spread, kind: 'heads', ...(heads !== groups && { equalBlocks: groups }) };
}

function headAxis(operand: Operand, axis: number, width = 1, first = 0): HeadAxis {
  return { ...operand, axis, width, first };
}

/** Returns places for those operands that are there. */
function present(node: Node, places: readonly HeadAxis[]): readonly HeadAxis[] {
  const operands = operandsOf(node);
  return places.filter((place) => operands.some((operand) => isSame(operand, place)));
}

/** An additive bias has a head axis unless it is 1 there. */
function biasPlaces(context: RuleContext, index: number, heads: number): readonly HeadAxis[] {
  const shape = context.shape(inputAt(index));
  const axis = (shape?.length ?? 0) - 3;
  return shape !== undefined && axis >= 0 && shape[axis] === heads && heads > 1
    ? [headAxis(inputAt(index), axis)]
    : [];
}

function widthOf(context: RuleContext, operand: Operand, heads: number): number | undefined {
  const size = context.shape(operand)?.[2];
  return typeof size === 'number' && heads > 0 && size % heads === 0 ? size / heads : undefined;
}

function groupQueryPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const [heads, groups] = [
    intAttribute(node, 'num_heads', 0),
    intAttribute(node, 'kv_num_heads', 0),
  ];
  const packed = (node.inputs[1] ?? '') === '';
  const width = widthOf(context, inputAt(0), packed ? heads + 2 * groups : heads);
  if (width === undefined) return 'the width of a head is unknown';
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
  const perHead = [...biasPlaces(context, 10, heads), headAxis(inputAt(11), 0)];
  return {
    heads,
    groups,
    query: present(node, [...query, ...perHead]),
    keyValue: present(node, [...keyValue, ...caches]),
  };
}

function headCounts(
  node: Node,
  counts: Readonly<Record<string, number>>,
): { attributes: Map<string, Attribute> } {
  const attributes = new Map<string, Attribute>();
  for (const [name, count] of Object.entries(counts)) {
    if (intAttribute(node, name) !== undefined)
      attributes.set(name, { name, kind: 'int', value: BigInt(count) });
  }
  return { attributes };
}

function resizeGroupQuery(
  node: Node,
  context: ResizeContext,
): { attributes: Map<string, Attribute> } | undefined {
  if (context.kept(outputAt(0), 2) === undefined) return undefined;
  const [heads, groups] = [
    intAttribute(node, 'num_heads', 0),
    intAttribute(node, 'kv_num_heads', 0),
  ];
  const [before, after] = [context.shape(outputAt(0))?.[2], context.shapeAfter(outputAt(0))?.[2]];
  const left = (heads * Number(after)) / Number(before);
  return headCounts(node, { num_heads: left, kv_num_heads: heads === groups ? left : groups });
}

const groupQuery: AxisRule = {
  opTypes: ['GroupQueryAttention'],
  domains: ['com.microsoft'],
  follow: (node, at, context) => followHeads(at, groupQueryPlaces(node, context), context),
  resize: resizeGroupQuery,
};

function multiHeadPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const heads = intAttribute(node, 'num_heads', 0);
  const places: HeadAxis[] = [...biasPlaces(context, 5, heads)];
  for (const index of [0, 1, 2]) {
    const shape = context.shape(inputAt(index));
    if (shape === undefined) continue;
    if (shape.length === 5) places.push(headAxis(inputAt(index), 2));
    else if (shape.length === 4) places.push(headAxis(inputAt(index), 1));
    else {
      const width = widthOf(context, inputAt(index), heads);
      if (width === undefined) return 'the width of a head is unknown';
      places.push(headAxis(inputAt(index), 2, width));
    }
  }
  const outputWidth = widthOf(context, outputAt(0), heads);
  if (outputWidth === undefined) return 'the width of a head is unknown';
  if ((node.inputs[3] ?? '') !== '') {
    const widths = [0, 1, 2].map((index) => places.find((place) => isSame(place, inputAt(index))));
    if (!widths.every((place) => place?.axis === 2 && place.width > 1))
      return 'query, key and value share one bias input';
    let first = 0;
    for (const place of widths) {
      places.push(headAxis(inputAt(3), 0, place!.width, first));
      first += heads * place!.width;
    }
  }
  const caches = [inputAt(6), inputAt(7), outputAt(1), outputAt(2)].map((operand) =>
    headAxis(operand, 1),
  );
  places.push(headAxis(outputAt(0), 2, outputWidth), ...caches);
  return { heads, groups: heads, query: present(node, places), keyValue: [] };
}

const multiHead: AxisRule = {
  opTypes: ['MultiHeadAttention'],
  domains: ['com.microsoft'],
  follow: (node, at, context) => followHeads(at, multiHeadPlaces(node, context), context),
  resize: resizeGroupQuery,
};

/** com.microsoft `Attention`: one weight `[in, q + k + v]` inside the operator. */
function packedPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const heads = intAttribute(node, 'num_heads', 0);
  const total = context.shape(inputAt(1))?.[1];
  if (typeof total !== 'number' || heads === 0) return 'the width of a head is unknown';
  const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? [total / 3, total / 3, total / 3];
  const places: HeadAxis[] = [
    ...biasPlaces(context, 5, heads),
    headAxis(inputAt(4), 2),
    headAxis(outputAt(1), 2),
  ];
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
    return followHeads(at, packedPlaces(node, context), context);
  },
  resize(node, context) {
    const resized = resizeGroupQuery(node, context);
    if (resized === undefined) return undefined;
    const heads = intAttribute(node, 'num_heads', 0);
    const left = resized.attributes.get('num_heads');
    const total = context.shape(inputAt(1))?.[1];
    const sizes =
      intsAttribute(node, 'qkv_hidden_sizes') ?? Array<number>(3).fill(Number(total) / 3);
    const scaled = sizes.map(
      (size) => (size * Number(left?.kind === 'int' ? left.value : heads)) / heads,
    );
    // Stated from now on, because the hidden size no longer is that of the input.
    return {
      attributes: new Map<string, Attribute>([
        ...resized.attributes,
        ['qkv_hidden_sizes', { name: 'qkv_hidden_sizes', kind: 'ints', value: scaled.map(BigInt) }],
      ]),
    };
  },
};

/** ai.onnx `Attention` (opset 23): 4-D `[B, heads, S, D]`, or 3-D with the counts as attributes. */
function standardPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const flat = context.shape(inputAt(0))?.length === 3;
  const heads = flat ? intAttribute(node, 'q_num_heads') : context.shape(inputAt(0))?.[1];
  const groups = flat ? intAttribute(node, 'kv_num_heads') : context.shape(inputAt(1))?.[1];
  if (typeof heads !== 'number' || typeof groups !== 'number')
    return 'the number of heads is unknown';
  const place = (operand: Operand, count: number): HeadAxis => {
    const width = flat ? widthOf(context, operand, count) : 1;
    return headAxis(operand, flat ? 2 : 1, width ?? 1);
  };
  const caches = [inputAt(4), inputAt(5), outputAt(1), outputAt(2)].map((operand) =>
    headAxis(operand, 1),
  );
  return {
    heads,
    groups,
    query: present(node, [
      place(inputAt(0), heads),
      place(outputAt(0), heads),
      headAxis(outputAt(3), 1),
      ...biasPlaces(context, 3, heads),
    ]),
    keyValue: present(node, [place(inputAt(1), groups), place(inputAt(2), groups), ...caches]),
  };
}

const standard: AxisRule = {
  opTypes: ['Attention'],
  follow: (node, at, context) => followHeads(at, standardPlaces(node, context), context),
  resize(node, context) {
    const after = context.kept(outputAt(0), context.shape(outputAt(0))?.length === 3 ? 2 : 1);
    const heads = intAttribute(node, 'q_num_heads');
    if (after === undefined || heads === undefined) return undefined;
    const groups = intAttribute(node, 'kv_num_heads', heads);
    const width = Number(context.shape(outputAt(0))?.[2]);
    const left = (heads * Number(context.shapeAfter(outputAt(0))?.[2])) / width;
    return headCounts(node, { q_num_heads: left, kv_num_heads: heads === groups ? left : groups });
  },
};

/** Rotates inside heads: `[B, heads, S, D]`, or `[B, S, heads * D]`. */
const rotary: AxisRule = {
  opTypes: ['RotaryEmbedding'],
  domains: ['', 'com.microsoft'],
  follow(node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels are angles';
    const shape = context.shape(inputAt(0));
    if (shape === undefined) return 'the shape is unknown';
    const both = [inputAt(0), outputAt(0)];
    if (shape.length === 4) {
      if (at.axis === 3) return 'the channels lie inside a head';
      return { axes: both.map((operand) => ({ ...operand, axis: at.axis, units: at.units })) };
    }
    if (at.axis !== 2)
      return { axes: both.map((operand) => ({ ...operand, axis: at.axis, units: at.units })) };
    const heads = rotaryHeads(node, context);
    if (heads === undefined) return 'the number of heads is unknown';
    const width = Number(shape[2]) / heads;
    return followHeads(
      at,
      {
        heads,
        groups: heads,
        query: both.map((operand) => headAxis(operand, 2, width)),
        keyValue: [],
      },
      context,
    );
  },
  resize(node, context) {
    const heads = intAttribute(node, 'num_heads', 0);
    const [before, after] = [context.shape(inputAt(0)), context.shapeAfter(inputAt(0))];
    if (heads === 0 || before?.length !== 3 || before[2] === after?.[2]) return undefined;
    return headCounts(node, { num_heads: (heads * Number(after?.[2])) / Number(before[2]) });
  },
};

function rotaryHeads(node: Node, context: RuleContext): number | undefined {
  const stated = intAttribute(node, 'num_heads', 0);
  if (stated > 0) return stated;
  const width = context.shape(inputAt(0))?.[2];
  // The tables of sines hold half a head, unless only part of it is rotated.
  const table = node.domain === 'com.microsoft' ? context.shape(inputAt(2))?.[1] : undefined;
  if (typeof width !== 'number' || typeof table !== 'number') return undefined;
  return intAttribute(node, 'rotary_embedding_dim', 0) === 0 ? width / (2 * table) : undefined;
}

/** Attention and rotary embedding as single operators. */
export const ATTENTION: readonly AxisRule[] = [groupQuery, multiHead, packed, standard, rotary];
