/** Products in every spelling of exporters, and feed-forward networks out of them. */
import type { GraphBuilder } from './graph-builder.ts';

/** `[B, T, from] -> [B, T, to]` */
export function linear(builder: GraphBuilder, x: string, from: number, to: number): string {
  const { isInteger } = builder.options;
  const kinds = ['plain', 'plain', 'transposed', 'gemm', 'left'];
  const kind = builder.dice.pick(isInteger ? kinds : [...kinds, 'quantized', 'quantized']);
  const bias = builder.dice.chance(0.5);
  if (kind === 'gemm') return gemm(builder, x, from, to, bias);
  if (kind === 'left') return leftProduct(builder, x, from, to);
  let weight: string;
  if (kind === 'transposed') weight = builder.transpose(builder.weight(to, from), 1, 0);
  else if (kind === 'quantized') weight = quantizedWeight(builder, from, to);
  else weight = builder.weight(from, to);
  const product = builder.op('MatMul', [x, weight]);
  if (!bias) return product;
  const vector = builder.weight(...builder.dice.pick([[to], [1, 1, to]]));
  return builder.op('Add', builder.dice.chance(0.5) ? [product, vector] : [vector, product]);
}

function gemm(builder: GraphBuilder, x: string, from: number, to: number, bias: boolean): string {
  const flat = builder.op('Reshape', [x, builder.ints(-1, from)]);
  const [transA, transB] = [builder.dice.chance(0.3), builder.dice.chance(0.5)];
  const data = transA ? builder.transpose(flat, 1, 0) : flat;
  const weight = transB ? builder.weight(to, from) : builder.weight(from, to);
  const vector = bias ? [builder.weight(...builder.dice.pick([[to], [1, to]]))] : [];
  const product = builder.op('Gemm', [data, weight, ...vector], {
    ...(transA && { transA: 1n }),
    ...(transB && { transB: 1n }),
  });
  return builder.op('Reshape', [product, builder.shape('B', 'T', builder.dice.pick([to, -1]))]);
}

/** `W x` with the features on the axis before the last. */
function leftProduct(builder: GraphBuilder, x: string, from: number, to: number): string {
  const product = builder.op('MatMul', [builder.weight(to, from), builder.transpose(x, 0, 2, 1)]);
  return builder.transpose(product, 0, 2, 1);
}

function quantizedWeight(builder: GraphBuilder, from: number, to: number): string {
  const axis = builder.dice.pick([undefined, 0, 1]);
  const stored = builder.bytes([from, to], () => builder.dice.below(256));
  const count = axis === undefined ? [] : [axis === 0 ? from : to];
  const size = count[0] ?? 1;
  const scales = Array.from({ length: size }, () => (1 + builder.dice.below(7)) / 1024);
  const scale = builder.constant('float32', count, scales);
  const zeros = Array.from({ length: size }, () => builder.dice.below(3));
  const zero = builder.dice.chance(0.5) ? [builder.constant('int8', count, zeros)] : [];
  return builder.op('DequantizeLinear', [stored, scale, ...zero], {
    ...(axis !== undefined && { axis: BigInt(axis) }),
  });
}

/** Adds a feed-forward network behind `x` and returns what it gives, as wide as `x`. */
export function addFeedForward(builder: GraphBuilder, x: string, parts: string[]): string {
  const { dice } = builder;
  const hidden = dice.pick([5, 6, 9, 12, 16]);
  const kind = dice.pick(['plain', 'gated', 'split', 'slice', 'concat', 'gated pool']);
  const value = HIDDEN[kind]!(builder, x, hidden, parts);
  parts.push(`ffn ${kind} ${hidden}`);
  const width = kind === 'concat' ? 2 * hidden : hidden;
  return linear(builder, detour(builder, value, width, parts), width, 8);
}

type Hidden = (builder: GraphBuilder, x: string, hidden: number, parts: string[]) => string;

const HIDDEN: Readonly<Record<string, Hidden>> = {
  plain: (builder, x, hidden, parts) => {
    let value = activation(builder, linear(builder, x, 8, hidden), hidden, parts);
    if (builder.dice.chance(0.3)) value = activation(builder, value, hidden, parts);
    return value;
  },
  gated: (builder, x, hidden, parts) => {
    const gate = activation(builder, linear(builder, x, 8, hidden), hidden, parts);
    return builder.op('Mul', [gate, linear(builder, x, 8, hidden)]);
  },
  split: (builder, x, hidden, parts) => {
    const both = linear(builder, x, 8, 2 * hidden);
    const [gate, up] = halves(builder, both, hidden, parts);
    return builder.op('Mul', [activation(builder, gate, hidden, parts), up]);
  },
  slice: (builder, x, hidden, parts) => {
    const both = linear(builder, x, 8, 2 * hidden);
    const end = builder.dice.pick([2 * hidden, 2 ** 31 - 1, 2 ** 40]);
    const cut = (from: number, to: number): string =>
      builder.op('Slice', [both, builder.ints(from), builder.ints(to), builder.ints(-1)]);
    const negative = builder.dice.chance(0.3);
    const gate = negative ? cut(-2 * hidden, -hidden) : cut(0, hidden);
    const up = negative ? cut(-hidden, end) : cut(hidden, end);
    return builder.op('Mul', [activation(builder, gate, hidden, parts), up]);
  },
  concat: (builder, x, hidden, parts) => {
    const first = activation(builder, linear(builder, x, 8, hidden), hidden, parts);
    const second = activation(builder, linear(builder, x, 8, hidden), hidden, parts);
    return builder.op('Concat', [first, second], { axis: -1n });
  },
  'gated pool': (builder, x, hidden, parts) => {
    const value = activation(builder, linear(builder, x, 8, hidden), hidden, parts);
    const mean =
      builder.options.opset < 18
        ? builder.op('ReduceMean', [value], { axes: [1n], keepdims: 1n })
        : builder.op('ReduceMean', [value, builder.ints(1)]);
    return builder.op('Mul', [
      value,
      builder.options.isInteger ? value : builder.op('Sigmoid', [mean]),
    ]);
  },
};

/** Cuts the last axis in two by one of the spellings of Split, or by sizes computed from its shape. */
function halves(
  builder: GraphBuilder,
  both: string,
  hidden: number,
  parts: string[],
): readonly [string, string] {
  const { opset } = builder.options;
  const kinds = ['sizes', opset >= 18 ? 'count' : 'even', 'computed'];
  const kind = builder.dice.pick(kinds);
  parts.push(`halves ${kind}`);
  const axis = { axis: builder.dice.pick([-1n, 2n]) };
  if (kind === 'computed') {
    const shape = builder.op('Shape', [both]);
    const width = builder.op('Gather', [shape, builder.ints(-1)], { axis: 0n });
    const half = builder.op('Div', [width, builder.ints(2)]);
    const twice = builder.op('Mul', [half, builder.ints(2)]);
    return [
      builder.op('Slice', [both, builder.ints(0), half, builder.ints(2)]),
      builder.op('Slice', [both, half, twice, builder.ints(2)]),
    ];
  }
  const [inputs, literals] =
    kind === 'sizes'
      ? [[both, builder.ints(hidden, hidden)], axis]
      : [[both], kind === 'count' ? { ...axis, num_outputs: 2n } : axis];
  const [gate, up] = builder.ops('Split', inputs, 2, literals);
  return [gate!, up!];
}

const FLOAT_ACTIVATIONS = [
  'relu',
  'gelu',
  'silu',
  'sigmoid',
  'tanh',
  'clip',
  'where',
  'scaled',
  'leaky',
  'quantized',
];

function activation(builder: GraphBuilder, x: string, width: number, parts: string[]): string {
  const { isInteger } = builder.options;
  const kind = builder.dice.pick(
    isInteger ? ['relu', 'clip', 'where', 'scaled'] : FLOAT_ACTIVATIONS,
  );
  parts.push(kind);
  switch (kind) {
    case 'gelu': {
      const scaled = builder.op('Div', [x, builder.scalar(Math.SQRT2)]);
      const erf = builder.op('Add', [builder.op('Erf', [scaled]), builder.scalar(1)]);
      return builder.op('Mul', [builder.op('Mul', [x, erf]), builder.scalar(0.5)]);
    }
    case 'silu':
      return builder.op('Mul', [x, builder.op('Sigmoid', [x])]);
    case 'sigmoid':
      return builder.op('Sigmoid', [x]);
    case 'tanh':
      return builder.op('Tanh', [x]);
    case 'clip':
      return builder.op('Clip', [x, builder.scalar(-1), builder.scalar(3)]);
    case 'where': {
      const positive = builder.op('Greater', [x, builder.scalar(0)]);
      return builder.op('Where', [positive, x, builder.scalar(-2)]);
    }
    case 'scaled':
      return builder.op('Mul', [x, builder.weight(...builder.dice.pick([[width], [1, 1, width]]))]);
    case 'leaky':
      return builder.op('LeakyRelu', [x], { alpha: 0.125 });
    case 'quantized': {
      const scale = builder.scalar(1 / 64);
      const zero = builder.constant('int8', [], [3]);
      const stored = builder.op('QuantizeLinear', [x, scale, zero]);
      return builder.op('DequantizeLinear', [stored, scale, zero]);
    }
    default:
      return builder.op('Relu', [x]);
  }
}

/** The size of the last axis as a vector of one element. */
function widthOf(builder: GraphBuilder, x: string): string {
  return builder.op('Gather', [builder.op('Shape', [x]), builder.ints(-1)], { axis: 0n });
}

/** Moves the hidden channels about and back, or does what no cut can pass. */
function detour(builder: GraphBuilder, x: string, width: number, parts: string[]): string {
  const kinds = [
    'none',
    'none',
    'none',
    'transpose',
    'squeeze',
    'pad',
    'reshape',
    'expand',
    'rows',
  ];
  const floats = builder.options.isInteger ? [] : ['softmax', 'width', 'table'];
  const kind = builder.dice.pick([...kinds, ...floats]);
  if (kind !== 'none') parts.push(`detour ${kind}`);
  switch (kind) {
    case 'transpose':
      return builder.transpose(builder.op('Relu', [builder.transpose(x, 2, 0, 1)]), 1, 2, 0);
    case 'squeeze': {
      const axis = builder.ints(builder.dice.below(4));
      const longer = builder.op('Unsqueeze', [x, axis]);
      return builder.op('Squeeze', [builder.op('Relu', [longer]), axis]);
    }
    case 'pad': {
      const padded = builder.op('Pad', [x, builder.ints(0, 1, 0, 0, 2, 0)]);
      return builder.op('Slice', [padded, builder.ints(1), builder.ints(-2), builder.ints(1)]);
    }
    case 'reshape': {
      const inner = width % 3 === 0 ? 3 : width % 2 === 0 ? 2 : 1;
      const split = builder.reshape(x, ['B', 'T', width / inner, inner], 2);
      return builder.reshape(builder.op('Relu', [split]), ['B', 'T', width], 2);
    }
    case 'expand': {
      const ones = builder.constant('float32', [1], [1]);
      const vector = builder.op('Expand', [ones, builder.shape('B', 'T', width)]);
      return builder.op('Mul', [x, vector]);
    }
    case 'softmax':
      return builder.op('Softmax', [x], { axis: -1n });
    case 'rows': {
      // `x.view(-1, x.size(-1))`, and back.
      const target = builder.op('Concat', [builder.ints(-1), widthOf(builder, x)], { axis: 0n });
      const rows = builder.op('Relu', [builder.op('Reshape', [x, target])]);
      return builder.op('Reshape', [rows, builder.shape('B', 'T', builder.dice.pick([width, -1]))]);
    }
    case 'width': {
      const float = builder.op('Cast', [widthOf(builder, x)], { to: 1n });
      return builder.op('Div', [x, builder.op('Sqrt', [float])]);
    }
    case 'table': {
      // Looked up by position, as a bias by distance is.
      const places = builder.op('Range', [
        builder.constant('int64', [], [0]),
        builder.op('Squeeze', [builder.runSize('T'), builder.ints(0)]),
        builder.constant('int64', [], [1]),
      ]);
      return builder.op('Add', [x, builder.op('Gather', [builder.weight(9, width), places])]);
    }
    default:
      return x;
  }
}
