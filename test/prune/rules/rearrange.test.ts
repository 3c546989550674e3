import { describe, expect, it } from 'vitest';
import { follow, resize } from './follow.ts';

describe('Transpose', () => {
  it('moves units with their axis', () => {
    const around = { inputs: [['batch', 5, 2, 8]], outputs: [['batch', 2, 5, 8]] };
    const spec = { opType: 'Transpose', attributes: { perm: [0n, 2n, 1n, 3n] } };
    const expected = { axes: { 'in0.2': '0 1', 'out0.1': '0 1' } };
    expect(follow(spec, 'in0.2', [0, 1], around)).toEqual(expected);
    expect(follow(spec, 'out0.1', [0, 1], around)).toEqual(expected);
    expect(
      follow({ opType: 'Transpose' }, 'in0.0', [0, 1, 2], { inputs: [[3, 4]], outputs: [[4, 3]] }),
    ).toEqual({
      axes: { 'in0.0': '0 1 2', 'out0.1': '0 1 2' },
    });
  });
});

describe('Squeeze and Unsqueeze', () => {
  it('count axes past those that come and go', () => {
    const numbers = { 1: [0, 2] };
    expect(
      follow({ opType: 'Squeeze' }, 'in0.3', [0, 1], {
        inputs: [[1, 5, 1, 2], [2]],
        outputs: [[5, 2]],
        numbers,
      }),
    ).toEqual({ axes: { 'in0.3': '0 1', 'out0.1': '0 1' } });
    expect(
      follow({ opType: 'Unsqueeze' }, 'in0.1', [0, 1], {
        inputs: [[5, 2], [1]],
        outputs: [[5, 2, 1]],
        numbers: { 1: [-1] },
      }),
    ).toEqual({ axes: { 'in0.1': '0 1', 'out0.1': '0 1' } });
    expect(
      follow({ opType: 'Squeeze' }, 'out0.0', [0, 1], { inputs: [[1, 2]], outputs: [[2]] }),
    ).toEqual({
      axes: { 'in0.1': '0 1', 'out0.0': '0 1' },
    });
  });

  it('do not guess axes that only a run tells', () => {
    const around = { inputs: [[1, 1, 2], [1]], outputs: [[1, 2]] };
    expect(follow({ opType: 'Squeeze' }, 'in0.2', [0, 1], around)).toBe(
      'which axes it moves is unknown',
    );
    const open = { inputs: [[undefined, 2]], outputs: [[2]] };
    expect(follow({ opType: 'Squeeze' }, 'in0.1', [0, 1], open)).toBe(
      'which axes it moves is unknown',
    );
  });
});

describe('Gather', () => {
  const picked = { inputs: [[3, 'batch', 4], []], outputs: [['batch', 4]] };

  it('passes the axes along which it does not pick', () => {
    const spec = { opType: 'Gather', attributes: { axis: 0n } };
    expect(follow(spec, 'in0.2', [0, 1, 2, 3], picked)).toEqual({
      axes: { 'in0.2': '0 1 2 3', 'out0.1': '0 1 2 3' },
    });
    const rows = {
      inputs: [
        ['batch', 4, 6],
        [2, 2],
      ],
      outputs: [['batch', 2, 2, 6]],
    };
    expect(
      follow({ opType: 'Gather', attributes: { axis: 1n } }, 'out0.3', [0, 1, 2, 3, 4, 5], rows),
    ).toEqual({
      axes: { 'in0.2': '0 1 2 3 4 5', 'out0.3': '0 1 2 3 4 5' },
    });
    expect(
      follow({ opType: 'Gather', attributes: { axis: 1n } }, 'in0.1', [0, 1, 2, 3], rows),
    ).toBe('it picks single channels');
  });

  it('follows what a constant list picks and shortens the list; of a single pick it says no', () => {
    const spec = { opType: 'Gather', attributes: { axis: 1n } };
    const around = {
      inputs: [['batch', 4], [3]],
      outputs: [['batch', 3]],
      numbers: { 1: [3, 0, -1] },
      constants: [1],
    };
    expect(follow(spec, 'in0.1', [0, 1, 2, 3], around)).toEqual({ axes: { 'out0.1': '3 0 3' } });
    // Index 3 is picked twice, the second time as -1.
    expect(follow(spec, 'out0.1', [7, 8, 9], around)).toEqual({
      axes: { 'in0.1': '- - - 7 | 8 - - - | - - - 9' },
    });
    expect(resize(spec, { 'in0.1': [1, 3], 'out0.1': [0, 2] }, around)).toEqual({ in1: [1, 1] });
    const single = {
      ...around,
      inputs: [['batch', 4], []],
      outputs: [['batch']],
      numbers: { 1: [2] },
    };
    expect(follow(spec, 'in0.1', [0, 1, -1, 2], single)).toEqual({ axes: {} });
    expect(follow(spec, 'in0.1', [0, 1, 2, 3], single)).toBe('it picks single channels');
    expect(resize(spec, { 'in0.1': [1, 2, 3] }, single)).toEqual({ in1: [1] });
  });

  it('takes heads out of a table by distance, but not channels out of a table of tokens', () => {
    const table = {
      inputs: [
        [32, 4],
        [5, 5],
      ],
      outputs: [[5, 5, 4]],
      constants: [0],
    };
    expect(follow({ opType: 'Gather' }, 'out0.2', [0, 1, 2, 3], table)).toEqual({
      axes: { 'in0.1': '0 1 2 3', 'out0.2': '0 1 2 3' },
    });
    expect(follow({ opType: 'Gather' }, 'out0.2', [0, 1, 2, 3], { ...table, given: [1] })).toBe(
      'it looks up rows of a table',
    );
  });
});

describe('Pad', () => {
  it('passes axes that it leaves as they are', () => {
    const around = {
      inputs: [['batch', 5, 4], [6]],
      outputs: [['batch', 8, 4]],
      numbers: { 1: [0, 1, 0, 0, 2, 0] },
    };
    expect(follow({ opType: 'Pad' }, 'in0.2', [0, 1, 2, 3], around)).toEqual({
      axes: { 'in0.2': '0 1 2 3', 'out0.2': '0 1 2 3' },
    });
    expect(follow({ opType: 'Pad' }, 'in0.1', [0, 1, 2, 3, 4], around)).toBe(
      'it pads the channels',
    );
    const { numbers: _, ...open } = around;
    expect(follow({ opType: 'Pad' }, 'in0.2', [0, 1, 2, 3], open)).toBe(
      'which axes it pads is unknown',
    );
  });
});
