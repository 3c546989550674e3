import { beforeAll, describe, expect, it } from 'vitest';
import type { AttributeLiteral } from '../../src/ir/attributes.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Dim, Node } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import type { Feeds, TensorValue } from '../../src/values/tensor-value.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { mnnPython, runMnn, runTwin, worstDifference, writeLowered } from './run-mnn.ts';

interface Given {
  readonly dataType?: 'float32' | 'int64' | 'bool';
  readonly declared: readonly Dim[];
  /** Sizes of the runs; the last are other ones than the first. */
  readonly runs: readonly (readonly number[])[];
  readonly values?: (count: number) => readonly number[];
}

interface Case {
  readonly title: string;
  readonly nodes: readonly Node[];
  readonly inputs: Readonly<Record<string, Given>>;
  readonly constants?: readonly Tensor[];
  readonly outputs?: readonly string[];
  readonly outputType?: DataType;
  readonly opset?: number;
  readonly contrib?: boolean;
  /** Of the largest value. Elementary functions are polynomials in MNN. */
  readonly tolerance?: number;
}

const EXACT = 0;
const FLOAT = 2e-6;

function ints(
  name: string,
  values: readonly number[],
  dims: readonly number[] = [values.length],
): Tensor {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return inlineTensor(name, 'int64', dims, bytes);
}

function contrib(
  opType: string,
  inputs: readonly string[],
  output: string,
  literals: Readonly<Record<string, AttributeLiteral>> = {},
): Node {
  return { ...node(opType, inputs, output, literals), domain: 'com.microsoft' };
}

const x3: Given = {
  declared: ['b', 's', 6],
  runs: [
    [1, 1, 6],
    [2, 5, 6],
  ],
};
const x4: Given = {
  declared: ['b', 3, 's', 4],
  runs: [
    [1, 3, 2, 4],
    [2, 3, 5, 4],
  ],
};
const positive: Given = {
  ...x3,
  values: (count) => [...noise(5, count)].map((v) => Math.abs(v) * 4 + 0.01),
};
const wide: Given = { ...x3, values: (count) => [...noise(6, count)].map((v) => v * 8) };

/** One op on one float input. */
function single(
  opType: string,
  input: Given = x3,
  literals: Readonly<Record<string, AttributeLiteral>> = {},
  rest: Partial<Case> = {},
): Case {
  const { constants = [] } = rest;
  const nodes = [node(opType, ['x', ...constants.map(({ name }) => name)], 'y', literals)];
  return {
    title: `${opType} ${JSON.stringify(literals, (_, v) => (typeof v === 'bigint' ? Number(v) : v))}`,
    nodes,
    inputs: { x: input },
    tolerance: FLOAT,
    ...rest,
  };
}

const CASES: readonly Case[] = [
  ...['Abs', 'Neg', 'Floor', 'Ceil', 'Sign', 'Relu', 'Identity'].map((op) =>
    single(op, wide, {}, { tolerance: EXACT }),
  ),
  ...['Sin', 'Cos', 'Atan', 'Sigmoid', 'Tanh', 'Erf', 'Softplus'].map((op) =>
    single(op, wide, {}, { tolerance: 3e-6 }),
  ),
  ...['Exp', 'Tan', 'Asin', 'Acos', 'Sinh', 'Cosh', 'Asinh', 'Atanh'].map((op) =>
    single(op, x3, {}, { tolerance: 1e-5 }),
  ),
  ...['Sqrt', 'Log', 'Reciprocal'].map((op) => single(op, positive)),
  single('Acosh', { ...positive, values: (count) => [...noise(5, count)].map((v) => 1.5 + v / 4) }),
  single('LeakyRelu', wide, { alpha: 0.2 }),
  single('Gelu', wide, {}, { opset: 20 }),
  single('Gelu', wide, { approximate: 'tanh' }, { opset: 20 }),
  single('Swish', wide, {}, { opset: 24, tolerance: FLOAT }),
  single('Softmax', wide, { axis: -1n }),
  single('Softmax', wide, { axis: 1n }),
  single('LogSoftmax', x3, { axis: -1n }, { tolerance: 1e-5 }),
  single('Clip', wide, {}, { constants: [floats('low', [], [-1]), floats('high', [], [2])] }),
  ...[
    'ReduceMean',
    'ReduceSum',
    'ReduceMax',
    'ReduceMin',
    'ReduceL2',
    'ReduceSumSquare',
    'ReduceProd',
  ].flatMap((op) => [
    single(op, x3, { keepdims: 0n }, { opset: 18, constants: [ints('axes', [-1])] }),
    single(op, x3, { keepdims: 1n }, { opset: 18, constants: [ints('axes', [0, 2])] }),
  ]),
  ...[2, 0.5, -0.5, 3, 1.5].map((exponent) =>
    single(
      'Pow',
      positive,
      {},
      { title: `Pow ${exponent}`, constants: [floats('e', [], [exponent])], tolerance: 1e-5 },
    ),
  ),
  ...['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min'].map(
    (op): Case => ({
      title: `${op} broadcasts both ways`,
      nodes: [node(op, ['a', 'b'], 'y')],
      inputs: {
        a: {
          declared: ['b', 1, 4],
          runs: [
            [1, 1, 4],
            [3, 1, 4],
          ],
        },
        b: {
          declared: ['s', 1],
          runs: [
            [2, 1],
            [5, 1],
          ],
        },
      },
      tolerance: FLOAT,
    }),
  ),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map(
    (op): Case => ({
      title: `${op} of integers`,
      nodes: [node(op, ['a', 'b'], 'm'), node('Cast', ['m'], 'y', { to: 1n })],
      inputs: {
        a: {
          dataType: 'int64',
          declared: ['n', 1],
          runs: [
            [2, 1],
            [5, 1],
          ],
          values: (n) => Array.from({ length: n }, (_, at) => at),
        },
        b: { dataType: 'int64', declared: [4], runs: [[4], [4]], values: () => [0, 1, 2, 3] },
      },
      tolerance: EXACT,
    }),
  ),
  ...['And', 'Or', 'Xor'].map(
    (op): Case => ({
      title: op,
      nodes: [
        node(op, ['a', 'b'], 'm'),
        node('Not', ['m'], 'k'),
        node('Where', ['k', 'p', 'q'], 'y'),
      ],
      inputs: {
        a: {
          dataType: 'bool',
          declared: ['n', 1],
          runs: [
            [2, 1],
            [2, 1],
          ],
          values: () => [0, 1],
        },
        b: { dataType: 'bool', declared: [2], runs: [[2], [2]], values: () => [0, 1] },
      },
      constants: [floats('p', [], [3]), floats('q', [], [-7])],
      tolerance: EXACT,
    }),
  ),
  {
    title: 'IsNaN, and Where over a row of masked scores',
    nodes: [
      node('Softmax', ['x'], 'p', { axis: -1n }),
      node('IsNaN', ['p'], 'n'),
      node('Where', ['n', 'zero', 'p'], 'y'),
    ],
    inputs: { x: { ...x3, values: (n) => [...noise(3, n)] } },
    constants: [floats('zero', [], [0])],
    tolerance: FLOAT,
  },
  {
    title: 'Cast of floats to integers goes towards zero',
    nodes: [node('Cast', ['x'], 'i', { to: 7n }), node('Cast', ['i'], 'y', { to: 1n })],
    inputs: { x: wide },
    tolerance: EXACT,
  },
  {
    title: 'Cast of numbers to truth values',
    nodes: [node('Cast', ['x'], 'i', { to: 9n }), node('Cast', ['i'], 'y', { to: 1n })],
    inputs: {
      x: {
        ...x3,
        values: (n) => Array.from({ length: n }, (_, at) => (at % 3 === 0 ? 0 : at - 2.5)),
      },
    },
    tolerance: EXACT,
  },
  single('Transpose', x4, { perm: [0n, 2n, 1n, 3n] }, { tolerance: EXACT }),
  single('Transpose', x4, { perm: [3n, 2n, 1n, 0n] }, { tolerance: EXACT }),
  single('Unsqueeze', x3, {}, { tolerance: EXACT, constants: [ints('axes', [-1, 0])] }),
  single(
    'Flatten',
    {
      declared: ['b', 3, 4],
      runs: [
        [1, 3, 4],
        [2, 3, 4],
      ],
    },
    { axis: 1n },
    { tolerance: EXACT },
  ),
  single(
    'Squeeze',
    {
      declared: ['b', 1, 4, 1],
      runs: [
        [1, 1, 4, 1],
        [3, 1, 4, 1],
      ],
    },
    {},
    { tolerance: EXACT, constants: [ints('axes', [1, -1])] },
  ),
  single('Reshape', x3, {}, { tolerance: EXACT, constants: [ints('to', [0, -1, 2])] }),
  single(
    'Reshape',
    x3,
    {},
    { tolerance: EXACT, title: 'Reshape to rows', constants: [ints('to', [-1, 3])] },
  ),
  single('Tile', x3, {}, { tolerance: EXACT, constants: [ints('times', [1, 2, 3])] }),
  single(
    'Expand',
    {
      declared: ['b', 1, 4],
      runs: [
        [1, 1, 4],
        [3, 1, 4],
      ],
    },
    {},
    { tolerance: EXACT, constants: [ints('to', [2, 1, 3, 1])] },
  ),
  single(
    'Slice',
    x4,
    {},
    {
      tolerance: EXACT,
      title: 'Slice from the end',
      constants: [ints('s', [-3, 0]), ints('e', [2 ** 53, -1]), ints('a', [-1, 1])],
    },
  ),
  single(
    'Slice',
    x4,
    {},
    {
      tolerance: EXACT,
      title: 'Slice by twos',
      constants: [ints('s', [1]), ints('e', [4]), ints('a', [3]), ints('t', [2])],
    },
  ),
  single(
    'Slice',
    x4,
    {},
    {
      tolerance: EXACT,
      title: 'Slice past a size that a run knows',
      constants: [ints('s', [0]), ints('e', [3]), ints('a', [2])],
    },
  ),
  single(
    'Gather',
    x4,
    { axis: 1n },
    {
      tolerance: EXACT,
      title: 'Gather by constants from the end',
      constants: [ints('i', [2, -1, 0])],
    },
  ),
  single(
    'Gather',
    x4,
    { axis: 2n },
    {
      tolerance: EXACT,
      title: 'Gather the last of a size that a run knows',
      constants: [ints('i', [-1], [])],
    },
  ),
  {
    title: 'Gather by ids, some from the end',
    nodes: [node('Gather', ['table', 'ids'], 'y')],
    inputs: {
      ids: {
        dataType: 'int64',
        declared: ['b', 's'],
        runs: [
          [1, 3],
          [2, 4],
        ],
        values: (n) => Array.from({ length: n }, (_, at) => at - 3),
      },
    },
    constants: [floats('table', [9, 5], noise(4, 45))],
    tolerance: EXACT,
  },
  {
    title: 'Split into uneven parts, one unread',
    nodes: [
      { ...node('Split', ['x', 'sizes'], 'a', { axis: -1n }), outputs: ['a', 'unread', 'b'] },
      node('Concat', ['b', 'a'], 'y', { axis: -1n }),
    ],
    inputs: { x: x3 },
    constants: [ints('sizes', [1, 2, 3])],
    tolerance: EXACT,
  },
  {
    title: 'Concat behind an empty past',
    nodes: [node('Concat', ['past', 'x'], 'y', { axis: 2n })],
    inputs: {
      past: {
        declared: ['b', 3, 'p', 4],
        runs: [
          [1, 3, 0, 4],
          [2, 3, 6, 4],
        ],
      },
      x: x4,
    },
    tolerance: EXACT,
  },
  {
    title: 'Shape, Range and Expand by sizes of a run',
    nodes: [
      node('Shape', ['x'], 'shape'),
      node('Gather', ['shape', 'one'], 's'),
      node('Range', ['zero', 's', 'one'], 'r'),
      node('Unsqueeze', ['r', 'axis'], 'row'),
      node('Unsqueeze', ['s', 'axis'], 's1'),
      node('Concat', ['s1', 's1'], 'square', { axis: 0n }),
      node('Expand', ['row', 'square'], 'grid'),
      node('Cast', ['grid'], 'y', { to: 1n }),
    ],
    inputs: { x: x3 },
    constants: [ints('one', [1], []), ints('zero', [0], []), ints('axis', [0])],
    tolerance: EXACT,
  },
  {
    title: 'CumSum of integers',
    nodes: [node('CumSum', ['m', 'axis'], 'c'), node('Cast', ['c'], 'y', { to: 1n })],
    inputs: {
      m: {
        dataType: 'int64',
        declared: ['b', 's'],
        runs: [
          [1, 3],
          [2, 5],
        ],
        values: (n) => Array.from({ length: n }, (_, at) => at % 2),
      },
    },
    constants: [ints('axis', [1], [])],
    tolerance: EXACT,
  },
  ...[0n, 1n].map(
    (keepdims): Case => ({
      title: `ArgMax keepdims ${keepdims}`,
      nodes: [
        node('ArgMax', ['x'], 'i', { axis: -1n, keepdims }),
        node('Cast', ['i'], 'y', { to: 1n }),
      ],
      inputs: { x: x3 },
      tolerance: EXACT,
    }),
  ),
  single(
    'ConstantOfShape',
    { dataType: 'int64', declared: [2], runs: [[2], [2]], values: () => [2, 3] },
    { value: floats('v', [1], [1.5]) },
    { tolerance: EXACT },
  ),
  {
    title: 'MatMul that broadcasts one operand, and not along all axes',
    nodes: [node('MatMul', ['a', 'b'], 'p'), node('MatMul', ['p', 'c'], 'y')],
    inputs: {
      a: {
        declared: ['b', 3, 's', 6],
        runs: [
          [1, 3, 2, 6],
          [2, 3, 3, 6],
        ],
      },
      b: {
        declared: ['b', 1, 6, 't'],
        runs: [
          [1, 1, 6, 3],
          [2, 1, 6, 5],
        ],
      },
      c: {
        declared: [3, 't', 4],
        runs: [
          [3, 3, 4],
          [3, 5, 4],
        ],
      },
    },
    tolerance: FLOAT,
  },
  {
    title: 'MatMul that broadcasts both operands',
    nodes: [node('MatMul', ['a', 'b'], 'y')],
    inputs: {
      a: {
        declared: ['b', 1, 's', 6],
        runs: [
          [1, 1, 2, 6],
          [2, 1, 3, 6],
        ],
      },
      b: {
        declared: [4, 6, 't'],
        runs: [
          [4, 6, 3],
          [4, 6, 5],
        ],
      },
    },
    tolerance: FLOAT,
  },
  ...[0n, 1n].map(
    (transB): Case => ({
      title: `Gemm transB ${transB} with a bias`,
      nodes: [node('Gemm', ['x', 'w', 'c'], 'y', { transB })],
      inputs: {
        x: {
          declared: ['n', 6],
          runs: [
            [1, 6],
            [4, 6],
          ],
        },
      },
      constants: [
        floats('w', transB === 1n ? [5, 6] : [6, 5], noise(1, 30)),
        floats('c', [5], noise(2, 5)),
      ],
      tolerance: FLOAT,
    }),
  ),
  {
    title: 'Gemm with factors',
    nodes: [node('Gemm', ['x', 'w', 'c'], 'y', { alpha: 0.5, beta: 2 })],
    inputs: {
      x: {
        declared: ['n', 6],
        runs: [
          [1, 6],
          [4, 6],
        ],
      },
    },
    constants: [floats('w', [6, 5], noise(1, 30)), floats('c', [5], noise(2, 5))],
    tolerance: FLOAT,
  },
  ...[2, 3, 4].map(
    (rank): Case => ({
      title: `a linear layer over an input of rank ${rank}`,
      nodes: [node('MatMul', ['x', 'w'], 'p'), node('Add', ['c', 'p'], 'y')],
      inputs: {
        x: {
          declared: [...['b', 's', 't'].slice(0, rank - 1), 6],
          runs: [[1, 2, 3].slice(0, rank - 1), [4, 3, 2].slice(0, rank - 1)].map((lead) => [
            ...lead,
            6,
          ]),
        },
      },
      constants: [floats('w', [6, 5], noise(1, 30)), floats('c', [5], noise(2, 5))],
      tolerance: FLOAT,
    }),
  ),
  ...['float32', 'float16'].map(
    (type): Case => ({
      title: `layers that share an input and a weight of ${type} behind Transpose`,
      nodes: [
        node('Transpose', ['w'], 'wt', { perm: [1n, 0n] }),
        node('MatMul', ['x', 'wt'], 'a'),
        node('MatMul', ['x', 'v'], 'b'),
        node('Mul', ['a', 'b'], 'y'),
      ],
      inputs: { x: x3 },
      constants: [floats('w', [7, 6], noise(1, 42)), floats('v', [6, 7], noise(2, 42))],
      tolerance: FLOAT,
    }),
  ),
  ...[
    { kernel: [3, 3], literals: { pads: [1n, 0n, 2n, 1n], strides: [2n, 1n] }, group: 1 },
    { kernel: [3, 3], literals: { pads: [1n, 1n, 1n, 1n], group: 4n }, group: 4 },
    { kernel: [2, 3], literals: { dilations: [2n, 1n], group: 2n }, group: 2 },
    { kernel: [1, 1], literals: {}, group: 1 },
  ].map(
    ({ kernel, literals, group }): Case => ({
      title: `Conv ${kernel} group ${group}`,
      nodes: [node('Conv', ['x', 'w', 'c'], 'y', literals)],
      inputs: {
        x: {
          declared: ['b', 4, 'h', 'w'],
          runs: [
            [1, 4, 7, 8],
            [2, 4, 9, 6],
          ],
        },
      },
      constants: [
        floats('w', [4, 4 / group, ...kernel], noise(1, 4 * (4 / group) * kernel[0]! * kernel[1]!)),
        floats('c', [4], noise(2, 4)),
      ],
      tolerance: FLOAT,
    }),
  ),
  ...[1, 2, 8].map(
    (group): Case => ({
      title: `Conv of one spatial axis, group ${group}`,
      nodes: [
        node('Conv', ['x', 'w'], 'y', { pads: [2n, 1n], strides: [2n], group: BigInt(group) }),
      ],
      inputs: {
        x: {
          declared: ['b', 8, 't'],
          runs: [
            [1, 8, 11],
            [2, 8, 20],
          ],
        },
      },
      constants: [floats('w', [8, 8 / group, 5], noise(1, (64 / group) * 5))],
      tolerance: FLOAT,
    }),
  ),
  {
    title: 'BatchNormalization and GlobalAveragePool',
    nodes: [
      node('BatchNormalization', ['x', 's', 'h', 'm', 'v'], 'n', { epsilon: 1e-3 }),
      node('GlobalAveragePool', ['n'], 'y'),
    ],
    inputs: {
      x: {
        declared: ['b', 4, 'h', 'w'],
        runs: [
          [1, 4, 3, 5],
          [2, 4, 4, 4],
        ],
      },
    },
    constants: [
      floats('s', [4], noise(1, 4)),
      floats('h', [4], noise(2, 4)),
      floats('m', [4], noise(3, 4)),
      floats('v', [4], [0.5, 1, 2, 3]),
    ],
    tolerance: FLOAT,
  },
  {
    title: 'LayerNormalization without a bias',
    nodes: [node('LayerNormalization', ['x', 'g'], 'y', { axis: -1n, epsilon: 1e-6 })],
    inputs: { x: x3 },
    constants: [floats('g', [6], noise(2, 6))],
    tolerance: FLOAT,
  },
  {
    title: 'LayerNormalization over two axes',
    nodes: [node('LayerNormalization', ['x', 'g', 'c'], 'y', { axis: -2n })],
    inputs: {
      x: {
        declared: ['b', 3, 6],
        runs: [
          [1, 3, 6],
          [4, 3, 6],
        ],
      },
    },
    constants: [floats('g', [3, 6], noise(2, 18)), floats('c', [3, 6], noise(3, 18))],
    tolerance: FLOAT,
  },
  {
    title: 'RMSNormalization',
    nodes: [node('RMSNormalization', ['x', 'g'], 'y', { axis: -1n, epsilon: 1e-6 })],
    inputs: { x: x3 },
    constants: [floats('g', [6], noise(2, 6))],
    opset: 23,
    tolerance: FLOAT,
  },
  {
    title: 'SkipSimplifiedLayerNormalization with its sum',
    nodes: [
      {
        ...contrib('SkipSimplifiedLayerNormalization', ['x', 'r', 'g'], 'n', { epsilon: 1e-6 }),
        outputs: ['n', '', '', 'sum'],
      },
      node('Add', ['n', 'sum'], 'y'),
    ],
    inputs: { x: x3, r: x3 },
    constants: [floats('g', [6], noise(2, 6))],
    contrib: true,
    tolerance: FLOAT,
  },
  {
    title: 'SkipLayerNormalization with a bias',
    nodes: [contrib('SkipLayerNormalization', ['x', 'r', 'g', 'c', 'd'], 'y', { epsilon: 1e-6 })],
    inputs: { x: x3, r: x3 },
    constants: [
      floats('g', [6], noise(2, 6)),
      floats('c', [6], noise(3, 6)),
      floats('d', [6], noise(4, 6)),
    ],
    contrib: true,
    tolerance: FLOAT,
  },
  {
    title: 'BiasGelu, FastGelu and QuickGelu',
    nodes: [
      contrib('BiasGelu', ['x', 'c'], 'a'),
      contrib('FastGelu', ['a'], 'b'),
      contrib('QuickGelu', ['b'], 'y', { alpha: 1.702 }),
    ],
    inputs: { x: wide },
    constants: [floats('c', [6], noise(3, 6))],
    contrib: true,
    tolerance: 1e-5,
  },
];

const GELU: readonly Case[] = [
  { step: 'Div', root: Math.SQRT2 },
  { step: 'Div', root: 1.4140625 },
  { step: 'Mul', root: 0.70703125 },
].map(({ step, root }) => ({
  title: `a GELU in single steps by ${step} with ${root}, rounded as the export has it`,
  nodes: [
    node(step, ['x', 'root'], 'r'),
    node('Erf', ['r'], 'e'),
    node('Add', ['e', 'one'], 'a'),
    node('Mul', ['x', 'a'], 'm'),
    node('Mul', ['m', 'half'], 'y'),
  ],
  inputs: { x: wide },
  constants: [floats('root', [], [root]), floats('one', [], [1]), floats('half', [], [0.5])],
  tolerance: FLOAT,
}));

const ATTENTION: readonly Case[] = [
  ...[
    { heads: 4, kvHeads: 4, literals: { is_causal: 1n } },
    { heads: 4, kvHeads: 2, literals: { is_causal: 1n, scale: 0.3 } },
    { heads: 6, kvHeads: 2, literals: { softcap: 2 } },
    { heads: 3, kvHeads: 1, literals: {} },
  ].map(
    ({ heads, kvHeads, literals }): Case => ({
      title: `Attention of ${heads} heads over ${kvHeads}, of rank 4`,
      nodes: [node('Attention', ['q', 'k', 'v'], 'y', literals)],
      inputs: {
        q: {
          declared: ['b', heads, 's', 8],
          runs: [
            [1, heads, 1, 8],
            [3, heads, 5, 8],
          ],
        },
        k: {
          declared: ['b', kvHeads, 's', 8],
          runs: [
            [1, kvHeads, 1, 8],
            [3, kvHeads, 5, 8],
          ],
        },
        v: {
          declared: ['b', kvHeads, 's', 4],
          runs: [
            [1, kvHeads, 1, 4],
            [3, kvHeads, 5, 4],
          ],
        },
      },
      opset: 23,
      tolerance: FLOAT,
    }),
  ),
  ...(['bool', 'float32'] as const).map(
    (dataType): Case => ({
      title: `Attention of rank 3 with a mask of ${dataType} and another length of keys`,
      nodes: [node('Attention', ['q', 'k', 'v', 'm'], 'y', { q_num_heads: 4n, kv_num_heads: 2n })],
      inputs: {
        q: {
          declared: ['b', 's', 16],
          runs: [
            [1, 2, 16],
            [2, 3, 16],
          ],
        },
        k: {
          declared: ['b', 't', 8],
          runs: [
            [1, 5, 8],
            [2, 4, 8],
          ],
        },
        v: {
          declared: ['b', 't', 8],
          runs: [
            [1, 5, 8],
            [2, 4, 8],
          ],
        },
        m: {
          dataType,
          declared: ['b', 1, 's', 't'],
          runs: [
            [1, 1, 2, 5],
            [2, 1, 3, 4],
          ],
          values: (n) =>
            Array.from({ length: n }, (_, at) =>
              dataType === 'bool' ? Number(at % 4 !== 1) : (at % 5) / 3,
            ),
        },
      },
      opset: 23,
      tolerance: FLOAT,
    }),
  ),
  {
    title: 'Attention with a mask for each head, where heads share keys, and a past',
    nodes: [
      { ...node('Attention', ['q', 'k', 'v', 'm', 'pk', 'pv'], 'y'), outputs: ['y', 'nk', 'nv'] },
    ],
    inputs: {
      q: {
        declared: ['b', 4, 's', 8],
        runs: [
          [1, 4, 2, 8],
          [2, 4, 3, 8],
        ],
      },
      k: {
        declared: ['b', 2, 's', 8],
        runs: [
          [1, 2, 2, 8],
          [2, 2, 3, 8],
        ],
      },
      v: {
        declared: ['b', 2, 's', 4],
        runs: [
          [1, 2, 2, 4],
          [2, 2, 3, 4],
        ],
      },
      m: {
        declared: ['b', 4, 's', 't'],
        runs: [
          [1, 4, 2, 2],
          [2, 4, 3, 7],
        ],
      },
      pk: {
        declared: ['b', 2, 'p', 8],
        runs: [
          [1, 2, 0, 8],
          [2, 2, 4, 8],
        ],
      },
      pv: {
        declared: ['b', 2, 'p', 4],
        runs: [
          [1, 2, 0, 4],
          [2, 2, 4, 4],
        ],
      },
    },
    outputs: ['y', 'nk', 'nv'],
    opset: 23,
    tolerance: FLOAT,
  },
  ...[0n, 1n].map(
    (interleaved): Case => ({
      title: `RotaryEmbedding of opset 23, interleaved ${interleaved}`,
      nodes: [node('RotaryEmbedding', ['x', 'cos', 'sin', 'at'], 'y', { interleaved })],
      inputs: {
        x: {
          declared: ['b', 3, 's', 8],
          runs: [
            [1, 3, 2, 8],
            [2, 3, 4, 8],
          ],
        },
        at: {
          dataType: 'int64',
          declared: ['b', 's'],
          runs: [
            [1, 2],
            [2, 4],
          ],
          values: (n) => Array.from({ length: n }, (_, at) => at),
        },
      },
      constants: [floats('cos', [9, 4], noise(1, 36)), floats('sin', [9, 4], noise(2, 36))],
      opset: 23,
      tolerance: FLOAT,
    }),
  ),
];

const python = await mnnPython();

describe.skipIf(python === undefined)('MNN', () => {
  beforeAll(() => {
    expect(python).toBeDefined();
  });

  it.each([...CASES, ...GELU, ...ATTENTION])('computes $title', async (test) => {
    const names = Object.keys(test.inputs);
    const inputs = names.map((name) => {
      const { declared, dataType = 'float32' } = test.inputs[name]!;
      return value(name, dataType, declared);
    });
    const built = model({
      nodes: test.nodes,
      initializers: test.constants ?? [],
      inputs,
      outputs: (test.outputs ?? ['y']).map((name) => ({
        name,
        type: { kind: 'tensor', dataType: test.outputType ?? 'float32' },
      })),
      opset: test.opset ?? 18,
    });
    const whole = test.contrib
      ? { ...built, opsetImports: [...built.opsetImports, { domain: 'com.microsoft', version: 1 }] }
      : built;
    const irModel = { ...whole, irVersion: (test.opset ?? 18) > 20 ? 10 : 8 };
    const feeds = [0, 1].map(
      (run): Feeds => new Map(names.map((name) => [name, feedOf(test.inputs[name]!, run)])),
    );
    const folder = temporaryFolder();
    const path = await writeLowered(irModel, folder);
    const expected = await runTwin(irModel, folder, feeds);
    const found = await runMnn(path, feeds, { python });
    const worst = expected.map((outputs, run) => worstDifference(outputs, found[run]!));
    expect(Math.max(...worst), JSON.stringify(worst)).toBeLessThanOrEqual(test.tolerance ?? FLOAT);
  });
});

function feedOf({ dataType = 'float32', runs, values }: Given, run: number): TensorValue {
  const dims = runs[run]!;
  const count = dims.reduce((product, dim) => product * dim, 1);
  const numbers = values?.(count) ?? [...noise(11 + run, count)];
  if (dataType === 'int64') return { dataType, dims, data: BigInt64Array.from(numbers, BigInt) };
  if (dataType === 'bool') return { dataType, dims, data: Uint8Array.from(numbers) };
  return { dataType, dims, data: Float32Array.from(numbers) };
}
