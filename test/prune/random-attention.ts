/** Attention as exporters spell it: out of single operators, or as one. */
import type { GraphBuilder } from './graph-builder.ts';
import { linear } from './random-feed-forward.ts';
import { rotateHalves, rotatePairs } from './random-rotary.ts';

interface Heads {
  readonly heads: number;
  readonly groups: number;
  readonly width: number;
}

interface Projected {
  readonly q: string;
  readonly k: string;
  readonly v: string;
  /** `[B, heads, T, width]` already. */
  readonly isSplit: boolean;
}

/** Adds attention behind `x` and returns what it gives, as wide as `x`. */
export function addAttention(builder: GraphBuilder, x: string, parts: string[]): string {
  const { dice } = builder;
  const groups = dice.pick([1, 2, 2, 3, 4]);
  const heads = groups * dice.pick([1, 1, 2, 3, 4]);
  const kind = dice.pick([
    'decomposed',
    'decomposed',
    'decomposed',
    'group',
    'multi',
    'packed',
    ...(builder.options.opset >= 23 ? ['standard', 'standard', 'standard'] : []),
  ]);
  const sizes: Heads =
    kind === 'multi' || kind === 'packed'
      ? { heads: Math.max(2, heads), groups: Math.max(2, heads), width: 8 }
      : { heads, groups, width: kind === 'decomposed' ? dice.pick([2, 4, 8]) : 16 };
  parts.push(`attention ${kind} ${sizes.heads}/${sizes.groups}x${sizes.width}`);
  const merged = CORES[kind]!(builder, x, sizes, parts);
  return linear(builder, merged, sizes.heads * sizes.width, 8);
}

type Core = (builder: GraphBuilder, x: string, sizes: Heads, parts: string[]) => string;

const CORES: Readonly<Record<string, Core>> = {
  decomposed,
  group(builder, x, sizes, parts) {
    const { heads, groups, width } = sizes;
    const { B, T } = builder.options.sizes;
    const packed = builder.dice.chance(0.4);
    const rotary = builder.dice.chance(0.5);
    if (packed) parts.push('packed');
    const [q, k, v] = packed
      ? [linear(builder, x, 8, (heads + 2 * groups) * width), '', '']
      : [
          linear(builder, x, 8, heads * width),
          linear(builder, x, 8, groups * width),
          linear(builder, x, 8, groups * width),
        ];
    const lengths = builder.constant('int32', [B], Array<number>(B).fill(T - 1));
    const total = builder.constant('int32', [], [T]);
    const bias = builder.dice.chance(0.3)
      ? builder.weight(1, builder.dice.pick([1, heads]), T, T)
      : '';
    const sink = builder.dice.chance(0.3) ? builder.weight(heads) : '';
    const angles = rotary
      ? [builder.weight(16, width / 2), builder.weight(16, width / 2)]
      : ['', ''];
    const inputs = [q, k, v, '', '', lengths, total, ...angles, '', bias, sink];
    while (inputs.at(-1) === '') inputs.pop();
    return builder.ops(
      'GroupQueryAttention',
      inputs,
      3,
      {
        num_heads: BigInt(heads),
        kv_num_heads: BigInt(groups),
        ...(rotary && { do_rotary: 1n }),
      },
      'com.microsoft',
    )[0]!;
  },
  multi(builder, x, { heads, width }) {
    const { T } = builder.options.sizes;
    const projected = [0, 1, 2].map(() => linear(builder, x, 8, heads * width));
    const bias = builder.dice.chance(0.4) ? builder.weight(3 * heads * width) : '';
    const scores = builder.dice.chance(0.4)
      ? builder.weight(1, builder.dice.pick([1, heads]), T, T)
      : '';
    const inputs = [...projected, bias, '', scores];
    while (inputs.at(-1) === '') inputs.pop();
    return builder.op('MultiHeadAttention', inputs, { num_heads: BigInt(heads) }, 'com.microsoft');
  },
  packed(builder, x, { heads, width }) {
    const hidden = heads * width;
    const inputs = [x, builder.weight(8, 3 * hidden), builder.weight(3 * hidden)];
    const sizes = [hidden, hidden, hidden].map(BigInt);
    return builder.op(
      'Attention',
      inputs,
      { num_heads: BigInt(heads), qkv_hidden_sizes: sizes },
      'com.microsoft',
    );
  },
  standard(builder, x, sizes, parts) {
    const { heads, groups, width } = sizes;
    const { T } = builder.options.sizes;
    const flat = builder.dice.chance(0.5);
    const mask = builder.dice.chance(0.4)
      ? [
          builder.weight(
            ...builder.dice.pick([
              [T, T],
              [1, heads, T, T],
              [1, 1, T, T],
            ]),
          ),
        ]
      : [];
    const { q, k, v, isSplit } = project(builder, x, sizes, parts, flat);
    if (flat && !isSplit) {
      parts.push('flat');
      return builder.op('Attention', [q, k, v, ...mask], {
        q_num_heads: BigInt(heads),
        kv_num_heads: BigInt(groups),
      });
    }
    const split = isSplit
      ? [q, k, v]
      : [q, k, v].map((value, index) =>
          splitHeads(builder, value, index === 0 ? heads : groups, width),
        );
    return mergeHeads(builder, builder.op('Attention', [...split, ...mask]), sizes);
  },
};

function project(
  builder: GraphBuilder,
  x: string,
  { heads, groups, width }: Heads,
  parts: string[],
  flat = false,
): Projected {
  const { dice } = builder;
  const [ofQuery, ofKey] = [heads * width, groups * width];
  const kind = dice.pick([
    'own',
    'own',
    'split',
    'slice',
    ...(heads === groups && !flat ? ['timm', 'timm'] : []),
  ]);
  parts.push(`qkv ${kind}`);
  if (kind === 'own') {
    const [q, k, v] = [ofQuery, ofKey, ofKey].map((size) => linear(builder, x, 8, size));
    return { q: q!, k: k!, v: v!, isSplit: false };
  }
  const all = linear(builder, x, 8, ofQuery + 2 * ofKey);
  if (kind === 'split') {
    const sizes = builder.ints(ofQuery, ofKey, ofKey);
    const [q, k, v] = builder.ops('Split', [all, sizes], 3, { axis: -1n });
    return { q: q!, k: k!, v: v!, isSplit: false };
  }
  if (kind === 'slice') {
    const cut = (from: number, to: number): string =>
      builder.op('Slice', [
        all,
        builder.ints(from),
        builder.ints(to),
        builder.ints(2),
        builder.ints(1),
      ]);
    const [q, k, v] = [
      cut(0, ofQuery),
      cut(ofQuery, ofQuery + ofKey),
      cut(ofQuery + ofKey, 2 ** 31 - 1),
    ];
    return { q, k, v, isSplit: false };
  }
  const five = builder.reshape(all, ['B', 'T', 3, heads, width], 2);
  const moved = builder.transpose(five, 2, 0, 3, 1, 4);
  if (dice.chance(0.5)) {
    const pick = (at: number): string =>
      builder.op('Gather', [moved, builder.constant('int64', [], [at])], { axis: 0n });
    return { q: pick(0), k: pick(1), v: pick(2), isSplit: true };
  }
  const thirds = builder.ops('Split', [moved, builder.ints(1, 1, 1)], 3, { axis: 0n });
  const [q, k, v] = thirds.map((third) => builder.op('Squeeze', [third, builder.ints(0)]));
  return { q: q!, k: k!, v: v!, isSplit: true };
}

function splitHeads(builder: GraphBuilder, x: string, heads: number, width: number): string {
  return builder.transpose(builder.reshape(x, ['B', 'T', heads, width], 2), 0, 2, 1, 3);
}

function mergeHeads(builder: GraphBuilder, x: string, { heads, width }: Heads): string {
  return builder.reshape(builder.transpose(x, 0, 2, 1, 3), ['B', 'T', heads * width], 2);
}

function decomposed(builder: GraphBuilder, x: string, sizes: Heads, parts: string[]): string {
  const { heads, groups, width } = sizes;
  const { dice } = builder;
  const { T } = builder.options.sizes;
  const projected = project(builder, x, sizes, parts);
  let [q, k, v] = [projected.q, projected.k, projected.v];
  if (!projected.isSplit) {
    q = splitHeads(builder, q, heads, width);
    k = splitHeads(builder, k, groups, width);
    v = splitHeads(builder, v, groups, width);
  }
  if (width >= 4 && dice.chance(0.4)) {
    const turn = dice.chance(0.5) ? rotateHalves : rotatePairs;
    parts.push(turn.name);
    q = turn(builder, q, heads, width);
    k = turn(builder, k, groups, width);
  }
  const repeat =
    heads === groups
      ? 'none'
      : dice.pick(groups === 1 ? ['expand', 'tile', 'broadcast'] : ['expand', 'tile']);
  if (repeat === 'expand' || repeat === 'tile') {
    parts.push(repeat);
    [k, v] = [k, v].map((value) => repeatHeads(builder, value, sizes, repeat)) as [string, string];
  }
  const flat = repeat !== 'broadcast' && dice.chance(0.3);
  const scores = flat
    ? flatScores(builder, q, k, sizes, parts)
    : builder.op('MatMul', [q, builder.transpose(k, 0, 1, 3, 2)]);
  let scaled = builder.op('Mul', [scores, builder.scalar(1 / Math.sqrt(width))]);
  const bias = dice.pick([
    undefined,
    [1, heads, 1, 1],
    [heads, 1, 1],
    [1, 1, T, T],
    [1, heads, T, T],
  ]);
  if (bias !== undefined) scaled = builder.op('Add', [scaled, builder.weight(...bias)]);
  const weights = builder.op('Softmax', [scaled], { axis: builder.options.opset < 13 ? 3n : -1n });
  return mergeHeads(builder, builder.op('MatMul', [weights, v]), sizes);
}

/** `[B * heads, T, width]` products. */
function flatScores(
  builder: GraphBuilder,
  q: string,
  k: string,
  { heads, width }: Heads,
  parts: string[],
): string {
  parts.push('flat scores');
  const { B, T } = builder.options.sizes;
  const flatten = (value: string): string => {
    const shape =
      builder.options.isStatic && builder.dice.chance(0.6)
        ? builder.ints(B * heads, T, width)
        : builder.shape(-1, 'T', width);
    return builder.op('Reshape', [value, shape]);
  };
  const product = builder.op('MatMul', [flatten(q), builder.transpose(flatten(k), 0, 2, 1)]);
  return builder.op('Reshape', [
    product,
    builder.shape(builder.dice.pick(['B', -1] as const), heads, 'T', 'T'),
  ]);
}

function repeatHeads(
  builder: GraphBuilder,
  x: string,
  { heads, groups, width }: Heads,
  kind: 'expand' | 'tile',
): string {
  const copies = heads / groups;
  const longer = builder.op('Unsqueeze', [x, builder.ints(2)]);
  const repeated =
    kind === 'tile'
      ? builder.op('Tile', [longer, builder.ints(1, 1, copies, 1, 1)])
      : builder.op('Expand', [
          longer,
          builder.dice.chance(0.5)
            ? builder.ints(1, 1, copies, 1, 1)
            : builder.shape('B', groups, copies, 'T', width),
        ]);
  const shape = builder.shape('B', builder.dice.pick([heads, -1]), 'T', width);
  return builder.op('Reshape', [repeated, shape]);
}
