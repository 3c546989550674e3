import { describe, expect, it } from 'vitest';
import { dynamicBuilder, pruneAndCompare, SIZES, X } from '../prune-and-compare.ts';
import { follow, LEFT_OUT, resize } from './follow.ts';

const HEADS = ['batch', 2, 5, 8];
const OVER = 'it normalises over the channels: the residual width stays';

describe('norms over the last axes', () => {
  it.each(['LayerNormalization', 'RMSNormalization', 'SimplifiedLayerNormalization'])(
    '%s passes heads and keeps what it normalises',
    (opType) => {
      const around = { inputs: [HEADS, [8]], outputs: [HEADS] };
      expect(follow({ opType }, 'in0.1', [0, 1], around)).toEqual({
        axes: { 'in0.1': '0 1', 'out0.1': '0 1' },
      });
      const channels = Array.from({ length: 8 }, (_, unit) => unit);
      expect(follow({ opType }, 'in0.3', channels, around)).toBe(OVER);
      expect(follow({ opType }, 'in1.0', channels, around)).toBe(OVER);
      expect(follow({ opType, attributes: { axis: 1n } }, 'out0.1', [0, 1], around)).toBe(OVER);
    },
  );

  it('cut a scale that differs by head, and the mean and deviation that are given out', () => {
    const shapes = [HEADS, [2, 1, 8], [1, 1, 1, 8]];
    const around = { inputs: shapes, outputs: [HEADS, ['batch', 2, 5, 1], ['batch', 2, 5, 1]] };
    const expected = {
      axes: { 'in0.1': '0 1', 'in1.0': '0 1', 'out0.1': '0 1', 'out1.1': '0 1', 'out2.1': '0 1' },
    };
    const spec = { opType: 'LayerNormalization' };
    expect(follow(spec, 'in0.1', [0, 1], around)).toEqual(expected);
    expect(follow(spec, 'in1.0', [0, 1], around)).toEqual(expected);
    expect(follow(spec, 'out2.1', [0, 1], around)).toEqual(expected);
    expect(follow(spec, 'in0.1', [0, 1], { inputs: [HEADS, undefined], outputs: [HEADS] })).toBe(
      'the rank of the scale is unknown',
    );
  });

  it('with a scale of heads give the bits of the masked original', async () => {
    const builder = dynamicBuilder();
    const [heads, width] = [4, 8];
    const split = (): string =>
      builder.transpose(
        builder.op('Reshape', [
          builder.op('MatMul', ['x', builder.weight(8, heads * width)]),
          builder.shape('B', 'T', heads, width),
        ]),
        0,
        2,
        1,
        3,
      );
    const [normal, mean] = builder.ops(
      'LayerNormalization',
      [split(), builder.weight(heads, 1, width), builder.weight(heads, 1, width)],
      2,
      { axis: -1n },
    );
    const scaled = builder.op('Mul', [builder.op('Mul', [normal!, mean!]), split()]);
    const merged = builder.op('Reshape', [
      builder.transpose(scaled, 0, 2, 1, 3),
      builder.shape('B', 'T', -1),
    ]);
    const y = builder.op('MatMul', [merged, builder.weight(heads * width, 8)]);
    const shape = [SIZES.B, SIZES.T, 8];
    const { groups, difference } = await pruneAndCompare(builder.build(shape, { [y]: shape }), {
      x: X,
    });
    expect(groups).toEqual(['ffn 4/1']);
    expect(difference).toBe(0);
  });

  it.each(['SkipLayerNormalization', 'SkipSimplifiedLayerNormalization', 'SkipGroupNorm'])(
    '%s keeps the residual width, whichever of its outputs is asked',
    (opType) => {
      const X3 = ['batch', 5, 4];
      const around = { inputs: [X3, X3, [4]], outputs: [X3, LEFT_OUT, LEFT_OUT, X3] };
      for (const at of ['in0.2', 'in1.2', 'in2.0', 'out0.2', 'out3.2'])
        expect(follow({ opType, domain: 'com.microsoft' }, at, [0, 1, 2, 3], around)).toBe(OVER);
    },
  );
});

describe('Softmax', () => {
  it('passes every axis but its own', () => {
    const around = { inputs: [['batch', 2, 5, 5]], outputs: [['batch', 2, 5, 5]] };
    expect(follow({ opType: 'Softmax' }, 'in0.1', [0, 1], around)).toEqual({
      axes: { 'in0.1': '0 1', 'out0.1': '0 1' },
    });
    expect(follow({ opType: 'Softmax' }, 'in0.3', [0, 1, 2, 3, 4], around)).toBe(
      'Softmax over the channels',
    );
  });
});

describe('reductions', () => {
  it('drop axes in front of the units and do not run over them', () => {
    const around = { inputs: [['batch', 5, 4], [1]], outputs: [['batch', 4]], numbers: { 1: [1] } };
    const spec = { opType: 'ReduceMean', attributes: { keepdims: 0n } };
    const expected = { axes: { 'in0.2': '0 1 2 3', 'out0.1': '0 1 2 3' } };
    expect(follow(spec, 'in0.2', [0, 1, 2, 3], around)).toEqual(expected);
    expect(follow(spec, 'out0.1', [0, 1, 2, 3], around)).toEqual(expected);
    expect(follow(spec, 'in0.1', [0, 1, 2, 3, 4], around)).toBe('ReduceMean over the channels');
    const { numbers: _, ...open } = around;
    expect(follow(spec, 'in0.2', [0, 1, 2, 3], open)).toBe('which axes it reduces is unknown');
    expect(
      follow({ opType: 'ReduceSum' }, 'in0.2', [0, 1, 2, 3], {
        inputs: [['batch', 5, 4]],
        outputs: [[1, 1, 1]],
      }),
    ).toBe('ReduceSum over the channels');
  });
});

describe('norms and pools of channels', () => {
  const image = ['batch', 4, 6, 6];

  it('BatchNormalization cuts its four vectors', () => {
    const around = { inputs: [image, [4], [4], [4], [4]], outputs: [image] };
    expect(follow({ opType: 'BatchNormalization' }, 'in0.1', [0, 1, 2, 3], around)).toEqual({
      axes: Object.fromEntries(
        ['in0.1', 'in1.0', 'in2.0', 'in3.0', 'in4.0', 'out0.1'].map((place) => [place, '0 1 2 3']),
      ),
      kind: 'channels',
    });
    expect(follow({ opType: 'BatchNormalization' }, 'in0.2', [0, 1, 2, 3, 4, 5], around)).toBe(
      'BatchNormalization over the axis',
    );
  });

  it('GroupNormalization goes where each channel is a group, and counts the groups', () => {
    const around = { inputs: [image, [4], [4]], outputs: [image] };
    const own = { opType: 'GroupNormalization', attributes: { num_groups: 4n } };
    expect(follow(own, 'in0.1', [0, 1, 2, 3], around)).toHaveProperty('axes');
    expect(resize(own, { 'in0.1': [0, 3], 'out0.1': [0, 3] }, around)).toEqual({ num_groups: 2n });
    const shared = { opType: 'GroupNormalization', attributes: { num_groups: 2n } };
    expect(follow(shared, 'in0.1', [0, 1, 2, 3], around)).toBe(
      'it normalises over several channels at once',
    );
  });

  it('pools pass channels and slide over the rest', () => {
    const around = { inputs: [image], outputs: [['batch', 4, 3, 3]] };
    expect(follow({ opType: 'MaxPool' }, 'in0.1', [0, 1, 2, 3], around)).toEqual({
      axes: { 'in0.1': '0 1 2 3', 'out0.1': '0 1 2 3' },
    });
    expect(follow({ opType: 'MaxPool' }, 'in0.2', [0, 1, 2, 3, 4, 5], around)).toBe(
      'MaxPool slides over the axis',
    );
    expect(
      follow({ opType: 'MaxPool' }, 'in0.1', [0, 1, 2, 3], { ...around, outputs: [image, image] }),
    ).toBe('it gives out places, which count the channels');
  });
});
