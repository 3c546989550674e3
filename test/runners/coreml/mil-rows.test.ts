import { Tensor as OrtTensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import type { MilModel } from '../../../src/formats/coreml/mil.ts';
import { knownOperators } from '../../../src/formats/coreml/signatures.ts';
import { validateMil } from '../../../src/formats/coreml/validate.ts';
import { MIL_ROWS } from '../../../src/runners/coreml/mil-rows.ts';
import { createBuilder, type Operands, type Ref } from '../../../src/targets/coreml/builder.ts';
import { evaluate } from '../../kit/coreml.ts';

/** x = [[1, 2, 3], [4, 5, 6]] goes into every program; `of` says what the operator is given beside it. */
type Case = [
  type: string,
  of: (x: Ref, b: ReturnType<typeof createBuilder>) => Operands,
  expected: readonly number[],
];

const X = [1, 2, 3, 4, 5, 6];
const map = (f: (value: number) => number): number[] => X.map(f);
const half = (dims: number[], numbers: number[]) => ({
  type: { dataType: 'fp32' as const, dims },
  data: { kind: 'numbers' as const, numbers },
});
const test = (x: Ref, b: ReturnType<typeof createBuilder>, type = 'greater', y = 3) =>
  b.emit(type, 'test', { x, y });
const float = (b: ReturnType<typeof createBuilder>, ref: Ref) =>
  b.emit('cast', 'as_float', { x: ref, dtype: 'fp32' });

const CASES: readonly Case[] = [
  ...(['add', 'sub', 'mul', 'real_div', 'pow', 'maximum', 'minimum'] as const).map((type): Case => {
    const of = {
      add: (v: number) => v + 2,
      sub: (v: number) => v - 2,
      mul: (v: number) => v * 2,
      real_div: (v: number) => v / 2,
      pow: (v: number) => v ** 2,
      maximum: (v: number) => Math.max(v, 2),
      minimum: (v: number) => Math.min(v, 2),
    }[type];
    return [type, (x) => ({ x, y: 2 }), map(of)];
  }),
  ['identity', (x) => ({ x }), X],
  ['abs', (x, b) => ({ x: b.emit('mul', 'n', { x, y: -1 }) }), X],
  ['sqrt', (x) => ({ x }), map(Math.sqrt)],
  ['exp', (x) => ({ x }), map(Math.exp)],
  ['tanh', (x) => ({ x }), map(Math.tanh)],
  ['erf', (x) => ({ x }), [0.8427008, 0.9953223, 0.9999779, 1, 1, 1]],
  ['sigmoid', (x) => ({ x }), map((v) => 1 / (1 + Math.exp(-v)))],
  ['silu', (x) => ({ x }), map((v) => v / (1 + Math.exp(-v)))],
  ['relu', (x, b) => ({ x: b.emit('sub', 'n', { x, y: 3 }) }), [0, 0, 0, 1, 2, 3]],
  ['sin', (x) => ({ x }), map(Math.sin)],
  ['cos', (x) => ({ x }), map(Math.cos)],
  ['floor', (x, b) => ({ x: b.emit('mul', 'n', { x, y: 0.5 }) }), [0, 1, 1, 2, 2, 3]],
  ['ceil', (x, b) => ({ x: b.emit('mul', 'n', { x, y: 0.5 }) }), [1, 1, 2, 2, 3, 3]],
  ['square', (x) => ({ x }), map((v) => v * v)],
  ['rsqrt', (x) => ({ x, epsilon: 3 }), map((v) => 1 / Math.sqrt(v + 3))],
  [
    'gelu',
    (x) => ({ x, mode: 'EXACT' }),
    [0.8413447, 1.9544997, 2.9959502, 3.9998734, 4.9999986, 6],
  ],
  [
    'gelu',
    (x) => ({ x, mode: 'TANH_APPROXIMATION' }),
    [0.841192, 1.9545977, 2.9963627, 3.9999297, 4.9999997, 6],
  ],
  [
    'gelu',
    (x) => ({ x, mode: 'SIGMOID_APPROXIMATION' }),
    map((v) => v / (1 + Math.exp(-1.702 * v))),
  ],
  ['clip', (x) => ({ x, alpha: 2, beta: 4 }), [2, 2, 3, 4, 4, 4]],
  [
    'softmax',
    (x) => ({ x, axis: -1 }),
    [0.0900306, 0.2447285, 0.6652409, 0.0900306, 0.2447285, 0.6652409],
  ],
  ['reduce_mean', (x) => ({ x, axes: [-1], keep_dims: true }), [2, 5]],
  ['reduce_sum', (x) => ({ x, axes: [0] }), [5, 7, 9]],
  ['reduce_max', (x) => ({ x, axes: [1] }), [3, 6]],
  ['reduce_min', (x) => ({ x, axes: [1] }), [1, 4]],
  ['matmul', (x) => ({ x, y: x, transpose_y: true }), [14, 32, 32, 77]],
  ['matmul', (x) => ({ x, y: x, transpose_x: true }), [17, 22, 27, 22, 29, 36, 27, 36, 45]],
  [
    'linear',
    (x, b) => ({
      x,
      weight: b.constant('w', half([2, 3], [1, 0, 0, 1, 1, 1])),
      bias: b.constant('o', half([2], [10, 20])),
    }),
    [11, 26, 14, 35],
  ],
  [
    'layer_norm',
    (x, b) => ({
      x,
      axes: [-1],
      gamma: b.constant('g', half([3], [1, 2, 1])),
      beta: b.constant('o', half([3], [0, 0, 5])),
      epsilon: 0,
    }),
    [-1.2247449, 0, 6.2247449, -1.2247449, 0, 6.2247449],
  ],
  [
    'batch_norm',
    (x, b) => ({
      x: b.emit('reshape', 'r', { x, shape: [1, 2, 3] }),
      mean: b.constant('m', half([2], [1, 4])),
      variance: b.constant('v', half([2], [1, 4])),
      gamma: b.constant('g', half([2], [1, 2])),
      beta: b.constant('o', half([2], [0, 1])),
      epsilon: 0,
    }),
    [0, 1, 2, 1, 2, 3],
  ],
  [
    'conv',
    (x, b) => ({
      x: b.emit('reshape', 'r', { x, shape: [1, 1, 6] }),
      weight: b.constant('w', half([1, 1, 2], [1, 10])),
      bias: b.constant('o', half([1], [100])),
      strides: [2],
      pad_type: 'custom',
      pad: [1, 0],
      dilations: [1],
      groups: 1,
    }),
    [110, 132, 154],
  ],
  ['gather', (x) => ({ x, indices: [2, 0], axis: 1 }), [3, 1, 6, 4]],
  [
    'gather_nd',
    (x, b) => ({
      x,
      indices: b.constant('i', {
        type: { dataType: 'int32', dims: [2, 2] },
        data: { kind: 'numbers', numbers: [0, 2, 1, 0] },
      }),
    }),
    [3, 4],
  ],
  ['concat', (x) => ({ values: [x, x], axis: 1 }), [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]],
  ['split', (x) => ({ x, split_sizes: [2, 1], axis: 1 }), [1, 2, 4, 5]],
  [
    'slice_by_index',
    (x) => ({
      x,
      begin: [0, 1],
      end: [2, 3],
      stride: [1, 1],
      begin_mask: [true, false],
      end_mask: [true, false],
      squeeze_mask: [false, false],
    }),
    [2, 3, 5, 6],
  ],
  [
    'slice_by_index',
    (x) => ({
      x,
      begin: [1, 0],
      end: [2, 3],
      stride: [1, 2],
      begin_mask: [false, true],
      end_mask: [false, true],
      squeeze_mask: [true, false],
    }),
    [4, 6],
  ],
  ['reshape', (x) => ({ x, shape: [3, -1] }), X],
  ['transpose', (x) => ({ x, perm: [1, 0] }), [1, 4, 2, 5, 3, 6]],
  ['tile', (x) => ({ x, reps: [1, 2] }), [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]],
  ['cast', (x, b) => ({ x: b.emit('cast', 'i', { x, dtype: 'int32' }), dtype: 'fp32' }), X],
  [
    'select',
    (x, b) => ({ cond: test(x, b), a: x, b: b.emit('mul', 'n', { x, y: -1 }) }),
    [-1, -2, -3, 4, 5, 6],
  ],
];

const LOGIC: readonly [
  string,
  (x: Ref, b: ReturnType<typeof createBuilder>) => Operands,
  readonly number[],
][] = [
  ['equal', (x) => ({ x, y: 3 }), [0, 0, 1, 0, 0, 0]],
  ['less', (x) => ({ x, y: 3 }), [1, 1, 0, 0, 0, 0]],
  ['less_equal', (x) => ({ x, y: 3 }), [1, 1, 1, 0, 0, 0]],
  ['greater', (x) => ({ x, y: 3 }), [0, 0, 0, 1, 1, 1]],
  ['greater_equal', (x) => ({ x, y: 3 }), [0, 0, 1, 1, 1, 1]],
  ['logical_and', (x, b) => ({ x: test(x, b), y: test(x, b, 'less', 5) }), [0, 0, 0, 1, 0, 0]],
  ['logical_or', (x, b) => ({ x: test(x, b), y: test(x, b, 'less', 2) }), [1, 0, 0, 1, 1, 1]],
  ['logical_not', (x, b) => ({ x: test(x, b) }), [1, 1, 1, 0, 0, 0]],
];

function program(type: string, of: Case[1], asFloat: boolean): MilModel {
  const builder = createBuilder(7, ['x', 'y']);
  const input = { name: 'x', type: { dataType: 'fp32' as const, dims: [2, 3] } };
  const made = builder.emit(type, 'made', of(input, builder));
  const y = builder.emit('identity', 'out', { x: asFloat ? float(builder, made) : made });
  return {
    specificationVersion: 7,
    inputs: [{ name: 'x', dataType: 'fp32', shape: [2, 3] }],
    outputs: [{ name: y.name, dataType: 'fp32', shape: y.type.dims.map(Number) }],
    functions: [
      { name: 'main', inputs: [input], operations: builder.operations, outputs: [y.name] },
    ],
    metadata: { userDefined: new Map() },
  };
}

it.each([
  ...CASES.map((one) => [...one, false] as const),
  ...LOGIC.map((one) => [...one, true] as const),
])('%s means in ONNX what it means in MIL', async (type, of, expected, asFloat) => {
  const model = program(type, of, asFloat);
  expect(validateMil(model)).toEqual([]);
  const found = await evaluate(
    model,
    { x: new OrtTensor('float32', Float32Array.from(X), [2, 3]) },
    'float32',
  );
  const values = [...found['out']!.data].map(Number);
  expect(values).toHaveLength(expected.length);
  // Single precision through at most three operations.
  values.forEach((value, at) => {
    expect(Math.abs(value - expected[at]!)).toBeLessThan(1e-4);
  });
});

it('rounds behind every operation in fp16, so that what overflows is seen', async () => {
  const builder = createBuilder(7, ['x']);
  const input = { name: 'x', type: { dataType: 'fp16' as const, dims: [2] } };
  const root = builder.emit('sqrt', 'root', {
    x: builder.emit('mul', 'square', { x: input, y: input }),
  });
  const model: MilModel = {
    specificationVersion: 7,
    inputs: [{ name: 'x', dataType: 'fp16', shape: [2] }],
    outputs: [{ name: 'root', dataType: 'fp16', shape: [2] }],
    functions: [
      { name: 'main', inputs: [input], operations: builder.operations, outputs: [root.name] },
    ],
    metadata: { userDefined: new Map() },
  };
  const feeds = { x: new OrtTensor('float32', Float32Array.of(300, 3), [2]) };
  expect([...(await evaluate(model, feeds, 'rounded'))['root']!.data]).toEqual([Infinity, 3]);
  expect([...(await evaluate(model, feeds, 'float32'))['root']!.data]).toEqual([300, 3]);
});

it('has a case for every operator that it evaluates; the table names no other', () => {
  const tested = new Set([...CASES, ...LOGIC].map(([type]) => type));
  const rows = Object.keys(MIL_ROWS);
  expect(rows.filter((type) => !tested.has(type) && !type.startsWith('constexpr_'))).toEqual([]);
  expect(rows.filter((type) => !knownOperators().includes(type))).toEqual([]);
});
