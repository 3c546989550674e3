import { describe, expect, it } from 'vitest';
import { follow, resize } from './follow.ts';

describe('Expand', () => {
  const around = { inputs: [[1, 2, 1, 4], [4]], outputs: [['batch', 2, 3, 4]] };

  it('passes axes that are there, and makes copies of those of one', () => {
    expect(follow({ opType: 'Expand' }, 'out0.1', [0, 1], around)).toEqual({
      axes: { 'in0.1': '0 1', 'out0.1': '0 1' },
    });
    expect(follow({ opType: 'Expand' }, 'out0.2', [0, 1, 2], around)).toEqual({
      axes: { 'out0.2': '0 1 2' },
    });
    const open = { inputs: [[undefined, 4], [2]], outputs: [[undefined, 4]] };
    expect(follow({ opType: 'Expand' }, 'out0.0', [0, 1], open)).toBe(
      'it repeats an axis of unknown size',
    );
  });

  it('states the sizes that change, where they are known', () => {
    const elements = { 1: ['batch', 1, 3, 4] };
    expect(resize({ opType: 'Expand' }, { 'out0.2': [0, 1] }, { ...around, elements })).toEqual({
      in1: ['batch', 1, 2, 4],
    });
    expect(
      resize({ opType: 'Expand' }, { 'in0.1': [0], 'out0.1': [0] }, { ...around, elements }),
    ).toEqual({
      in1: ['batch', 1, 3, 4],
    });
    expect(resize({ opType: 'Expand' }, { 'out0.2': [0, 1] }, around)).toBe(
      'the sizes it makes are known only in a run',
    );
  });
});

describe('Tile', () => {
  const around = {
    inputs: [['batch', 2, 1], [3]],
    outputs: [['batch', 2, 3]],
    numbers: { 1: [1, 1, 3] },
  };

  it('passes what it takes once and repeats an axis of one as often as units stay', () => {
    expect(follow({ opType: 'Tile' }, 'in0.1', [0, 1], around)).toEqual({
      axes: { 'in0.1': '0 1', 'out0.1': '0 1' },
    });
    expect(follow({ opType: 'Tile' }, 'out0.2', [0, 1, 2], around)).toEqual({ axes: {} });
    expect(resize({ opType: 'Tile' }, { 'out0.2': [0, 2] }, around)).toEqual({ in1: [1, 1, 2] });
  });

  it('does not repeat channels themselves', () => {
    const twice = { inputs: [[2], [1]], outputs: [[4]], numbers: { 1: [2] } };
    expect(follow({ opType: 'Tile' }, 'in0.0', [0, 1], twice)).toBe('it repeats the channels');
  });
});

describe('ConstantOfShape, Shape and Size', () => {
  it('make as many elements as stay, and end the way of units', () => {
    const made = { inputs: [[2]], outputs: [['batch', 4]], elements: { 0: ['batch', 4] } };
    expect(follow({ opType: 'ConstantOfShape' }, 'out0.1', [0, 1, 2, 3], made)).toEqual({
      axes: {},
    });
    expect(resize({ opType: 'ConstantOfShape' }, { 'out0.1': [1, 2] }, made)).toEqual({
      in0: ['batch', 2],
    });
    const read = { inputs: [['batch', 4]], outputs: [[2]] };
    expect(follow({ opType: 'Shape' }, 'in0.1', [0, 1, 2, 3], read)).toEqual({ axes: {} });
    expect(follow({ opType: 'Size' }, 'in0.1', [0, 1, 2, 3], read)).toEqual({ axes: {} });
  });
});
