import { describe, expect, it } from 'vitest';
import { isProduct } from '../../../src/prune/rules/index.ts';
import { node as makeNode } from '../../kit/models.ts';
import { dynamicBuilder, floatTensor, pruneAndCompare } from '../prune-and-compare.ts';
import { follow, resize } from './follow.ts';

const DATA = ['batch', 5, 4];
const WEIGHTED = { inputs: [DATA, [4, 3]], outputs: [['batch', 5, 3]], constants: [1] };

describe('MatMul', () => {
  it('sums over the rows of a constant weight', () => {
    const consumes = { data: 0, dataAxis: 2, weight: 1, weightAxis: 0 };
    const expected = { axes: { 'in0.2': '0 1 2 3', 'in1.0': '0 1 2 3' }, consumes };
    expect(follow({ opType: 'MatMul' }, 'in0.2', [0, 1, 2, 3], WEIGHTED)).toEqual(expected);
    expect(follow({ opType: 'MatMul' }, 'in1.0', [0, 1, 2, 3], WEIGHTED)).toEqual(expected);
  });

  it('makes an output channel of each column, and leaves rows and batches as they are', () => {
    const columns = { axes: { 'in1.1': '0 1 2', 'out0.2': '0 1 2' } };
    expect(follow({ opType: 'MatMul' }, 'out0.2', [0, 1, 2], WEIGHTED)).toEqual(columns);
    expect(follow({ opType: 'MatMul' }, 'in1.1', [0, 1, 2], WEIGHTED)).toEqual(columns);
    expect(follow({ opType: 'MatMul' }, 'in0.1', [0, 1, 2, 3, 4], WEIGHTED)).toEqual({
      axes: { 'in0.1': '0 1 2 3 4', 'out0.1': '0 1 2 3 4' },
    });
    expect(follow({ opType: 'MatMul' }, 'out0.0', [0, 1], WEIGHTED)).toEqual({
      axes: { 'in0.0': '0 1', 'out0.0': '0 1' },
    });
  });

  it('reads a weight on the left by its columns', () => {
    const around = {
      inputs: [
        [3, 4],
        ['batch', 4, 5],
      ],
      outputs: [['batch', 3, 5]],
      constants: [0],
    };
    expect(follow({ opType: 'MatMul' }, 'in1.1', [0, 1, 2, 3], around)).toEqual({
      axes: { 'in0.1': '0 1 2 3', 'in1.1': '0 1 2 3' },
      consumes: { data: 1, dataAxis: 1, weight: 0, weightAxis: 1 },
    });
    expect(follow({ opType: 'MatMul' }, 'out0.1', [0, 1, 2], around)).toEqual({
      axes: { 'in0.0': '0 1 2', 'out0.1': '0 1 2' },
    });
  });

  it('of two activations joins heads, and keeps what lies inside them', () => {
    const scores = {
      inputs: [
        ['batch', 2, 5, 8],
        ['batch', 2, 8, 5],
      ],
      outputs: [['batch', 2, 5, 5]],
    };
    expect(follow({ opType: 'MatMul' }, 'in1.1', [0, 1], scores)).toEqual({
      axes: { 'in0.1': '0 1', 'in1.1': '0 1', 'out0.1': '0 1' },
      kind: 'heads',
    });
    const shared = {
      ...scores,
      inputs: [
        ['batch', 2, 5, 8],
        ['batch', 1, 8, 5],
      ],
    };
    expect(follow({ opType: 'MatMul' }, 'in0.1', [0, 1], shared)).toEqual({
      axes: { 'in0.1': '0 1', 'out0.1': '0 1' },
      kind: 'heads',
    });
    const inside = Array.from({ length: 8 }, (_, unit) => unit);
    expect(follow({ opType: 'MatMul' }, 'in0.3', inside, scores)).toBe(
      'it sums two activations over these channels',
    );
    expect(follow({ opType: 'MatMul' }, 'out0.3', [0, 1, 2, 3, 4], scores)).toBe(
      'the channels lie inside a head',
    );
  });
});

describe('Gemm', () => {
  const around = { inputs: [['rows', 4], [3, 4], [3]], outputs: [['rows', 3]], constants: [1, 2] };

  it('reads a transposed weight and cuts a bias of columns', () => {
    const gemm = { opType: 'Gemm', attributes: { transB: 1n, alpha: 0.5, beta: 2 } };
    expect(follow(gemm, 'in0.1', [0, 1, 2, 3], around)).toMatchObject({
      axes: { 'in0.1': '0 1 2 3', 'in1.1': '0 1 2 3' },
      consumes: { weight: 1, weightAxis: 1 },
    });
    const columns = { axes: { 'in1.0': '0 1 2', 'out0.1': '0 1 2', 'in2.0': '0 1 2' } };
    expect(follow(gemm, 'out0.1', [0, 1, 2], around)).toEqual(columns);
    expect(follow(gemm, 'in2.0', [0, 1, 2], around)).toEqual(columns);
  });

  it.each([
    [[2, 3], { 'in2.1': '0 1 2' }, { 'in2.0': '5 6' }],
    [[1, 3], { 'in2.1': '0 1 2' }, {}],
    [[2, 1], {}, { 'in2.0': '5 6' }],
    [[1], {}, {}],
    [[], {}, {}],
  ])('cuts a bias of %j where it has columns and where it has rows', (bias, columns, rows) => {
    const shapes = { inputs: [[2, 4], [4, 3], bias], outputs: [[2, 3]], constants: [0, 1, 2] };
    expect(follow({ opType: 'Gemm' }, 'out0.1', [0, 1, 2], shapes)).toEqual({
      axes: { 'in1.1': '0 1 2', 'out0.1': '0 1 2', ...columns },
    });
    expect(follow({ opType: 'Gemm' }, 'out0.0', [5, 6], shapes)).toEqual({
      axes: { 'in0.0': '5 6', 'out0.0': '5 6', ...rows },
    });
  });

  it('says so where it cannot tell how the bias is broadcast', () => {
    const open = {
      ...around,
      inputs: [
        ['rows', 4],
        [4, 3],
        [undefined, 3],
      ],
    };
    expect(follow({ opType: 'Gemm' }, 'out0.0', [0, 1], open)).toBe(
      'it broadcasts a bias of unknown size over rows',
    );
  });

  it.each([
    ['[M, 1]', [12, 1], [5, 1]],
    ['[M, N]', [12, 10], [5, 10]],
    ['[1, N]', [1, 10], [1, 10]],
  ])(
    'with features on rows and a bias %s gives the bits of the masked original',
    async (_, first, second) => {
      const builder = dynamicBuilder();
      const scaled = { alpha: 0.5, beta: 2 };
      const made = builder.op(
        'Gemm',
        [builder.weight(12, 8), 'x', builder.weight(...first)],
        scaled,
      );
      const h = builder.op('Relu', [made]);
      const y = builder.op('Gemm', [builder.weight(5, 12), h, builder.weight(...second)], scaled);
      const model = builder.build([8, 10], { [y]: [5, 10] });
      const { groups, difference, pruned } = await pruneAndCompare(model, {
        x: floatTensor(3, 8, 10),
      });
      expect(groups).toEqual(['ffn 12/1']);
      expect(difference).toBe(0);
      expect([...pruned.graph.initializers.values()].map(({ dims }) => dims)).toEqual([
        [8, 8],
        first[0] === 1 ? first : [8, first[1]],
        [5, 8],
        second,
      ]);
    },
  );
});

describe('Conv', () => {
  const image = ['batch', 4, 6, 6];
  const around = {
    inputs: [image, [3, 4, 1, 1], [3]],
    outputs: [['batch', 3, 6, 6]],
    constants: [1, 2],
  };

  it('sums over input channels and makes output channels with their bias', () => {
    expect(follow({ opType: 'Conv' }, 'in0.1', [0, 1, 2, 3], around)).toEqual({
      axes: { 'in0.1': '0 1 2 3', 'in1.1': '0 1 2 3' },
      consumes: { data: 0, dataAxis: 1, weight: 1, weightAxis: 1 },
      kind: 'channels',
    });
    expect(follow({ opType: 'Conv' }, 'out0.1', [0, 1, 2], around)).toEqual({
      axes: { 'in1.0': '0 1 2', 'out0.1': '0 1 2', 'in2.0': '0 1 2' },
      kind: 'channels',
    });
    expect(follow({ opType: 'Conv' }, 'in0.2', [0, 1, 2, 3, 4, 5], around)).toBe(
      'an axis that a filter slides over',
    );
  });

  it('of one channel each passes channels through and counts them; of other groups it says no', () => {
    const depthwise = { inputs: [image, [4, 1, 3, 3]], outputs: [image], constants: [1] };
    const conv = { opType: 'Conv', attributes: { group: 4n } };
    expect(follow(conv, 'in0.1', [0, 1, 2, 3], depthwise)).toEqual({
      axes: { 'in0.1': '0 1 2 3', 'in1.0': '0 1 2 3', 'out0.1': '0 1 2 3' },
      kind: 'channels',
    });
    expect(resize(conv, { 'in0.1': [0, 2, 3], 'out0.1': [0, 2, 3] }, depthwise)).toEqual({
      group: 3n,
    });
    const grouped = { inputs: [image, [4, 2, 3, 3]], outputs: [image], constants: [1] };
    expect(
      follow({ opType: 'Conv', attributes: { group: 2n } }, 'in0.1', [0, 1, 2, 3], grouped),
    ).toBe('a convolution of 2 groups');
  });
});

describe('isProduct', () => {
  it('knows ai.onnx by both names and no namesake of another domain', () => {
    const product = makeNode('MatMul', ['a', 'b'], 'c');
    expect(
      ['', 'ai.onnx', 'com.microsoft'].map((domain) => isProduct({ ...product, domain })),
    ).toEqual([true, true, false]);
  });
});
