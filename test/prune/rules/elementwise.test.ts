import { describe, expect, it } from 'vitest';
import { follow, LEFT_OUT } from './follow.ts';

const CHANNELS = [0, 1, 2, 3];
const X = ['batch', 5, 4];

describe('elementwise operators', () => {
  it('carry units to every operand that has the axis, counted from the end', () => {
    const around = { inputs: [X, [4]], outputs: [X] };
    const expected = { axes: { 'in0.2': '0 1 2 3', 'in1.0': '0 1 2 3', 'out0.2': '0 1 2 3' } };
    expect(follow({ opType: 'Add' }, 'in0.2', CHANNELS, around)).toEqual(expected);
    expect(follow({ opType: 'Add' }, 'in1.0', CHANNELS, around)).toEqual(expected);
    expect(follow({ opType: 'Add' }, 'out0.2', CHANNELS, around)).toEqual(expected);
  });

  it('leave operands alone that repeat one number over the units', () => {
    const around = { inputs: [[1], X, []], outputs: [X] };
    expect(follow({ opType: 'Where' }, 'out0.2', CHANNELS, around)).toEqual({
      axes: { 'in1.2': '0 1 2 3', 'out0.2': '0 1 2 3' },
    });
    expect(
      follow({ opType: 'Mul' }, 'out0.1', [7, 8, 9, 10, 11], { inputs: [X, [5, 1]], outputs: [X] }),
    ).toEqual({
      axes: { 'in0.1': '7 8 9 10 11', 'in1.0': '7 8 9 10 11', 'out0.1': '7 8 9 10 11' },
    });
  });

  it('say where a size or a shape is unknown, instead of taking two unknown sizes for one', () => {
    const open = ['batch', 5, undefined];
    expect(
      follow({ opType: 'Add' }, 'in0.2', CHANNELS, { inputs: [X, [undefined]], outputs: [X] }),
    ).toBe('it broadcasts an axis of unknown size against 4');
    expect(
      follow({ opType: 'Add' }, 'in0.2', CHANNELS, { inputs: [open, open], outputs: [open] }),
    ).toBe('it broadcasts an axis of unknown size against undefined');
    expect(
      follow({ opType: 'Add' }, 'in0.2', CHANNELS, { inputs: [X, undefined], outputs: [X] }),
    ).toBe('the shape of an operand is unknown');
    expect(follow({ opType: 'Add' }, 'in0.2', CHANNELS, { inputs: [X, [3]], outputs: [X] })).toBe(
      'it broadcasts an axis of 3 against 4',
    );
  });

  it('of CastLike take nothing from the operand that gives the type', () => {
    const around = { inputs: [X, [4]], outputs: [X] };
    const expected = { axes: { 'in0.2': '0 1 2 3', 'out0.2': '0 1 2 3' } };
    expect(follow({ opType: 'CastLike' }, 'in0.2', CHANNELS, around)).toEqual(expected);
    expect(follow({ opType: 'CastLike' }, 'out0.2', CHANNELS, around)).toEqual(expected);
    expect(follow({ opType: 'CastLike' }, 'in1.0', CHANNELS, around)).toEqual({
      axes: { 'in1.0': '0 1 2 3' },
    });
  });

  it('of onnxruntime take their bias along, and Dropout its mask', () => {
    const domain = 'com.microsoft';
    expect(
      follow({ opType: 'BiasGelu', domain }, 'in0.2', CHANNELS, { inputs: [X, [4]], outputs: [X] }),
    ).toEqual({
      axes: { 'in0.2': '0 1 2 3', 'in1.0': '0 1 2 3', 'out0.2': '0 1 2 3' },
    });
    const dropout = { inputs: [X, [], LEFT_OUT], outputs: [X, X] };
    expect(follow({ opType: 'Dropout' }, 'in0.2', CHANNELS, dropout)).toEqual({
      axes: { 'in0.2': '0 1 2 3', 'out0.2': '0 1 2 3', 'out1.2': '0 1 2 3' },
    });
  });

  it('are those of ai.onnx under both of its names, not those that another domain names alike', () => {
    const around = { inputs: [X, [4]], outputs: [X] };
    expect(follow({ opType: 'Add', domain: 'ai.onnx' }, 'in0.2', CHANNELS, around)).toHaveProperty(
      'axes',
    );
    expect(follow({ opType: 'Add', domain: 'custom' }, 'in0.2', CHANNELS, around)).toBe('no rule');
  });
});
