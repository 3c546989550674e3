import { describe, expect, it } from 'vitest';
import { follow, resize } from './follow.ts';

const FLAT = ['batch', 5, 6];
const HEADS = ['batch', 5, 2, 3];

describe('Reshape', () => {
  it('joins the channels of a head, and spreads a head over its channels', () => {
    const split = { inputs: [FLAT, [4]], outputs: [HEADS] };
    expect(follow({ opType: 'Reshape' }, 'in0.2', [0, 1, 2, 3, 4, 5], split)).toEqual({
      axes: { 'out0.2': '0 3' },
    });
    expect(follow({ opType: 'Reshape' }, 'out0.2', [0, 1], split)).toEqual({
      axes: { 'in0.2': '0 0 0 1 1 1' },
    });
    const merge = { inputs: [HEADS, [3]], outputs: [FLAT] };
    expect(follow({ opType: 'Reshape' }, 'in0.2', [0, 1], merge)).toEqual({
      axes: { 'out0.2': '0 0 0 1 1 1' },
    });
  });

  it('repeats the pattern of heads along an axis of batch times heads', () => {
    const around = { inputs: [['batch', 2, 5, 3], [3]], outputs: [['2*batch', 5, 3]] };
    expect(follow({ opType: 'Reshape' }, 'in0.1', [0, 1], around)).toEqual({
      axes: { 'out0.0': '0 1' },
    });
    expect(follow({ opType: 'Reshape' }, 'out0.0', [0, 1], around)).toEqual({
      axes: { 'in0.1': '0 1' },
    });
  });

  it('keeps heads apart in packed projections of three', () => {
    const around = { inputs: [['batch', 5, 12], [5]], outputs: [['batch', 5, 3, 2, 2]] };
    expect(follow({ opType: 'Reshape' }, 'out0.3', [0, 1], around)).toEqual({
      axes: { 'in0.2': '0 0 1 1 0 0 1 1 0 0 1 1' },
    });
  });

  it('finds copies of key heads: each group loses as many as query heads', () => {
    const around = {
      inputs: [['batch', 2, 3, 5, 4], [4]],
      outputs: [['batch', 6, 5, 4]],
      repeats: ['0 2'],
    };
    expect(follow({ opType: 'Reshape' }, 'out0.1', [0, 1, 2, 3, 4, 5], around)).toEqual({
      axes: {},
      equalBlocks: 2,
      copies: ['in0.2'],
    });
  });

  it('says so where axes cannot be told apart', () => {
    const around = { inputs: [['batch', undefined, 6], [2]], outputs: [[undefined, undefined]] };
    expect(follow({ opType: 'Reshape' }, 'in0.2', [0, 1, 2, 3, 4, 5], around)).toBe(
      'which axis the channels go to cannot be told',
    );
    expect(
      follow({ opType: 'Reshape' }, 'in0.2', [0], { inputs: [FLAT, [4]], outputs: [undefined] }),
    ).toBe('a shape is unknown');
  });

  it('states the sizes that change; -1 and a copied size follow by themselves', () => {
    const around = { inputs: [FLAT, [4]], outputs: [HEADS] };
    const kept = { 'in0.2': [3, 4, 5], 'out0.2': [1] };
    const sized = (...elements: readonly (number | string | undefined)[]) =>
      resize({ opType: 'Reshape' }, kept, { ...around, elements: { 1: elements } });
    expect(sized('batch', 5, 2, 3)).toEqual({ in1: ['batch', 5, 1, 3] });
    expect(sized('batch', 5, -1, 3)).toEqual({ in1: ['batch', 5, -1, 3] });
    expect(sized(0, 0, 2, -1)).toEqual({ in1: [0, 0, 1, -1] });
    expect(resize({ opType: 'Reshape' }, kept, around)).toBe(
      'the sizes it makes are known only in a run',
    );
  });

  it('calls an axis of which nothing is left -1, because 0 would copy', () => {
    const around = { inputs: [[10, 6], [3]], outputs: [[2, 5, 6]] };
    const kept = { 'in0.1': [], 'out0.2': [] };
    const sized = (...elements: readonly number[]) =>
      resize({ opType: 'Reshape' }, kept, { ...around, elements: { 1: elements } });
    expect(sized(2, 5, 6)).toEqual({ in1: [2, 5, -1] });
    expect(sized(2, 5, -1)).toEqual({ in1: [2, 5, -1] });
    expect(sized(-1, 5, 6)).toBe('nothing is left of axis 2');
  });

  it('replaces a copied size that would copy the wrong one', () => {
    // [2, 6] -> [2, 6, 1]: 0 copies axis 1, which shrinks on both sides alike.
    const alike = { inputs: [[2, 6], [3]], outputs: [[2, 6, 1]], elements: { 1: [0, 0, 1] } };
    expect(resize({ opType: 'Reshape' }, { 'in0.1': [0, 1], 'out0.1': [0, 1] }, alike)).toEqual({
      in1: [0, 0, 1],
    });
    // [6, 6] -> [6, 6]: the units of axis 0 of the data lie on axis 1 of the output.
    const moved = { inputs: [[6, 6], [2]], outputs: [[6, 6]], elements: { 1: [0, 0] } };
    expect(resize({ opType: 'Reshape' }, { 'in0.0': [0, 1], 'out0.1': [0, 1] }, moved)).toEqual({
      in1: [6, 2],
    });
  });
});

describe('Flatten', () => {
  it('spreads channels over the pixels behind them', () => {
    const around = { inputs: [['batch', 2, 1, 3]], outputs: [['batch', 6]] };
    expect(follow({ opType: 'Flatten' }, 'in0.1', [0, 1], around)).toEqual({
      axes: { 'out0.1': '0 0 0 1 1 1' },
    });
    expect(follow({ opType: 'Flatten' }, 'out0.1', [0, 0, 0, 1, 1, 1], around)).toEqual({
      axes: { 'in0.1': '0 1' },
    });
  });
});
