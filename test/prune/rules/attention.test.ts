import { describe, expect, it } from 'vitest';
import { follow, LEFT_OUT, resize } from './follow.ts';

const domain = 'com.microsoft';
const none = (count: number) => Array<typeof LEFT_OUT>(count).fill(LEFT_OUT);

/** Four query heads of two channels that share two key heads. */
const GROUPED = {
  opType: 'GroupQueryAttention',
  domain,
  attributes: { num_heads: 4n, kv_num_heads: 2n },
};
const GROUPED_SHAPES = {
  inputs: [['batch', 5, 8], ['batch', 5, 4], ['batch', 5, 4], ...none(2), ['batch'], []],
  outputs: [
    ['batch', 5, 8],
    ['batch', 2, 5, 2],
    ['batch', 2, 5, 2],
  ],
};
const BY_HEAD = [0, 0, 1, 1, 2, 2, 3, 3];

describe('GroupQueryAttention', () => {
  it('loses query heads alone, equally many from each key head', () => {
    expect(follow(GROUPED, 'out0.2', BY_HEAD, GROUPED_SHAPES)).toEqual({
      axes: { 'in0.2': '0 0 1 1 2 2 3 3', 'out0.2': '0 0 1 1 2 2 3 3' },
      kind: 'heads',
      equalBlocks: 2,
    });
    expect(follow(GROUPED, 'in1.2', [0, 0, 1, 1], GROUPED_SHAPES)).toBe(
      'key and value heads serve several query heads',
    );
    expect(follow(GROUPED, 'in0.1', [0, 1, 2, 3, 4], GROUPED_SHAPES)).toBe(
      'the channels lie inside a head',
    );
    expect(
      resize(GROUPED, { 'out0.2': [0, 1, 4, 5], 'in0.2': [0, 1, 4, 5] }, GROUPED_SHAPES),
    ).toEqual({
      num_heads: 2n,
      kv_num_heads: 2n,
    });
  });

  it('reads packed queries, keys and values part by part', () => {
    const packed = {
      inputs: [['batch', 5, 16], ...none(4), ['batch'], []],
      outputs: [['batch', 5, 8]],
    };
    expect(follow(GROUPED, 'out0.2', BY_HEAD, packed)).toEqual({
      axes: { 'in0.2': '0 0 1 1 2 2 3 3 - - - - - - - -', 'out0.2': '0 0 1 1 2 2 3 3' },
      kind: 'heads',
      equalBlocks: 2,
    });
    const onKeys = [...Array<number>(8).fill(-1), 0, 0, 1, 1, -1, -1, -1, -1];
    expect(follow(GROUPED, 'in0.2', onKeys, packed)).toBe(
      'key and value heads serve several query heads',
    );
  });

  it('takes sink, bias and scores along, and knows what has no heads', () => {
    const inputs = [...GROUPED_SHAPES.inputs, ...none(3), [1, 4, 5, 5], [4], [1], [1], [2], [2]];
    const outputs = [...GROUPED_SHAPES.outputs, ['batch', 4, 5, 5]];
    expect(follow(GROUPED, 'in11.0', [0, 1, 2, 3], { inputs, outputs })).toMatchObject({
      axes: {
        'in0.2': '0 0 1 1 2 2 3 3',
        'in10.1': '0 1 2 3',
        'in11.0': '0 1 2 3',
        'out3.1': '0 1 2 3',
      },
    });
    const odd = { ...GROUPED_SHAPES, inputs: [...GROUPED_SHAPES.inputs, ...none(3), [1, 3, 5, 5]] };
    expect(follow(GROUPED, 'out0.2', BY_HEAD, odd)).toBe(
      'its additive bias has 3 heads (expected 1 or 4)',
    );
    const later = { ...GROUPED_SHAPES, inputs: [...GROUPED_SHAPES.inputs, ...none(10), [4]] };
    expect(follow(GROUPED, 'out0.2', BY_HEAD, later)).toBe(
      'its input 17 may hold numbers of heads',
    );
  });

  it('whose key heads go along says no to scales of a quantized cache along heads', () => {
    const own = { ...GROUPED, attributes: { num_heads: 4n, kv_num_heads: 4n } };
    const wide = ['batch', 5, 8];
    const scaled = (scale: readonly number[]) => ({
      inputs: [wide, wide, wide, ...none(2), ['batch'], [], ...none(5), scale, scale],
      outputs: [wide],
    });
    expect(follow(own, 'out0.2', BY_HEAD, scaled([1]))).toMatchObject({
      axes: { 'in1.2': '0 0 1 1 2 2 3 3' },
    });
    expect(follow(own, 'out0.2', BY_HEAD, scaled([8]))).toBe(
      'the scales of its cache lie along heads and channels',
    );
  });
});

describe('MultiHeadAttention', () => {
  const spec = { opType: 'MultiHeadAttention', domain, attributes: { num_heads: 2n } };

  it('takes heads from flat, split and packed inputs, from bias and caches', () => {
    const flat = ['batch', 5, 4];
    const inputs = [
      flat,
      flat,
      ['batch', 5, 6],
      [14],
      LEFT_OUT,
      [1, 2, 5, 8],
      ['batch', 2, 3, 2],
      ['batch', 2, 3, 3],
    ];
    const around = {
      inputs,
      outputs: [
        ['batch', 5, 6],
        ['batch', 2, 8, 2],
        ['batch', 2, 8, 3],
      ],
    };
    expect(follow(spec, 'out0.2', [0, 0, 0, 1, 1, 1], around)).toEqual({
      axes: {
        'in0.2': '0 0 1 1',
        'in1.2': '0 0 1 1',
        'in2.2': '0 0 0 1 1 1',
        'in3.0':
          '0 0 1 1 - - - - - - - - - - | - - - - 0 0 1 1 - - - - - - | - - - - - - - - 0 0 0 1 1 1',
        'in5.1': '0 1',
        'in6.1': '0 1',
        'in7.1': '0 1',
        'out0.2': '0 0 0 1 1 1',
        'out1.1': '0 1',
        'out2.1': '0 1',
      },
      kind: 'heads',
    });
    const packed = { inputs: [['batch', 5, 2, 3, 2]], outputs: [['batch', 5, 4]] };
    expect(follow(spec, 'in0.2', [0, 1], packed)).toMatchObject({ axes: { 'out0.2': '0 0 1 1' } });
    expect(
      follow(spec, 'out0.2', [0, 0, 1, 1], { inputs: [flat, undefined], outputs: [flat] }),
    ).toBe('the width of a head is unknown');
  });
});

describe('Attention of com.microsoft', () => {
  const spec = { opType: 'Attention', domain, attributes: { num_heads: 2n } };
  const around = { inputs: [['batch', 5, 3], [3, 12], [12]], outputs: [['batch', 5, 4]] };

  it('has heads in the columns of its weight and the numbers of its bias, three times', () => {
    const thirds = '0 0 1 1 - - - - - - - - | - - - - 0 0 1 1 - - - - | - - - - - - - - 0 0 1 1';
    expect(follow(spec, 'out0.2', [0, 0, 1, 1], around)).toEqual({
      axes: { 'in1.1': thirds, 'in2.0': thirds, 'out0.2': '0 0 1 1' },
      kind: 'heads',
    });
    expect(follow(spec, 'in0.2', [0, 1, 2], around)).toBe('the residual width stays');
    expect(follow(spec, 'in1.0', [0, 1, 2], around)).toBe('the residual width stays');
  });

  it('states its widths from then on', () => {
    expect(resize(spec, { 'out0.2': [2, 3] }, around)).toEqual({
      num_heads: 1n,
      qkv_hidden_sizes: [2n, 2n, 2n],
    });
    const wide = { ...spec, attributes: { num_heads: 2n, qkv_hidden_sizes: [4n, 4n, 8n] } };
    const shapes = { inputs: [['batch', 5, 3], [3, 16], [16]], outputs: [['batch', 5, 8]] };
    expect(resize(wide, { 'out0.2': [4, 5, 6, 7] }, shapes)).toEqual({
      num_heads: 1n,
      qkv_hidden_sizes: [2n, 2n, 4n],
    });
    const wrong = { ...spec, attributes: { num_heads: 2n, qkv_hidden_sizes: [4n, 4n, 8n] } };
    expect(follow(wrong, 'out0.2', [0, 0, 1, 1], around)).toBe('the width of a head is unknown');
  });
});

describe('Attention of ai.onnx', () => {
  it('has heads as an axis of four, or beside each other in an axis of three', () => {
    const axes = { 'in0.1': '0 1', 'in1.1': '0 1', 'in2.1': '0 1', 'out0.1': '0 1' };
    const four = ['batch', 2, 5, 4];
    expect(
      follow({ opType: 'Attention' }, 'in2.1', [0, 1], {
        inputs: [four, four, four],
        outputs: [four],
      }),
    ).toEqual({
      axes,
      kind: 'heads',
    });
    const three = ['batch', 5, 4];
    const flat = { opType: 'Attention', attributes: { q_num_heads: 2n, kv_num_heads: 1n } };
    const shapes = { inputs: [three, ['batch', 5, 2], ['batch', 5, 2]], outputs: [three] };
    expect(follow(flat, 'out0.2', [0, 0, 1, 1], shapes)).toEqual({
      axes: { 'in0.2': '0 0 1 1', 'out0.2': '0 0 1 1' },
      kind: 'heads',
      equalBlocks: 1,
    });
    expect(resize(flat, { 'out0.2': [2, 3] }, shapes)).toEqual({
      q_num_heads: 1n,
      kv_num_heads: 1n,
    });
    const open = {
      inputs: [
        ['batch', 5, undefined],
        ['batch', 5, 2],
        ['batch', 5, 2],
      ],
      outputs: [three],
    };
    expect(follow(flat, 'out0.2', [0, 0, 1, 1], open)).toBe('the width of a head is unknown');
  });

  it('in axes of four restates counts that are attributes all the same', () => {
    const four = ['batch', 4, 5, 4];
    const spec = { opType: 'Attention', attributes: { q_num_heads: 4n, kv_num_heads: 4n } };
    const around = { inputs: [four, four, four], outputs: [four] };
    expect(resize(spec, { 'out0.1': [0, 2, 3] }, around)).toEqual({
      q_num_heads: 3n,
      kv_num_heads: 3n,
    });
  });
});

describe('RotaryEmbedding', () => {
  it('turns inside heads: they pass, angles do not', () => {
    const three = {
      inputs: [
        ['batch', 5, 4],
        [8, 1],
        [8, 1],
      ],
      outputs: [['batch', 5, 4]],
    };
    const spec = { opType: 'RotaryEmbedding', attributes: { num_heads: 2n } };
    expect(follow(spec, 'in0.2', [0, 1, 2, 3], three)).toEqual({
      // Both channels of a head become the unit of the first.
      axes: { 'in0.2': '0 0 2 2', 'out0.2': '0 0 2 2' },
      kind: 'heads',
    });
    expect(resize(spec, { 'in0.2': [2, 3], 'out0.2': [2, 3] }, three)).toEqual({ num_heads: 1n });
    const four = {
      inputs: [
        ['batch', 2, 5, 4],
        [8, 2],
        [8, 2],
      ],
      outputs: [['batch', 2, 5, 4]],
    };
    expect(follow(spec, 'in0.1', [0, 1], four)).toEqual({
      axes: { 'in0.1': '0 1', 'out0.1': '0 1' },
    });
    expect(resize(spec, { 'in0.1': [1], 'out0.1': [1] }, four)).toEqual({ num_heads: 1n });
    expect(follow(spec, 'in0.3', [0, 1, 2, 3], four)).toBe('the channels lie inside a head');
    expect(follow(spec, 'in1.1', [0, 1], four)).toBe('the channels are angles');
    const ragged = { ...spec, domain, attributes: { num_heads: 2n, is_packed_batching: 1n } };
    expect(follow(ragged, 'in0.2', [0, 1, 2, 3], three)).toBe('it reads a ragged batch');
  });
});
