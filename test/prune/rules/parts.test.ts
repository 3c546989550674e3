import { describe, expect, it } from 'vitest';
import { follow, resize } from './follow.ts';

describe('Concat', () => {
  const around = {
    inputs: [
      ['batch', 2],
      ['batch', 3],
    ],
    outputs: [['batch', 5]],
  };
  const spec = { opType: 'Concat', attributes: { axis: -1n } };

  it('numbers units of each part behind those before it', () => {
    expect(follow(spec, 'in1.1', [7, 8, 9], around)).toEqual({ axes: { 'out0.1': '- - 7 8 9' } });
    expect(follow(spec, 'out0.1', [0, 1, 2, 3, 4], around)).toEqual({
      axes: { 'in0.1': '0 1', 'in1.1': '2 3 4' },
    });
  });

  it('along another axis has the units in every part', () => {
    expect(
      follow(spec, 'in0.0', [0, 1], {
        inputs: [
          [2, 2],
          [2, 3],
        ],
        outputs: [[2, 5]],
      }),
    ).toEqual({
      axes: { 'in0.0': '0 1', 'in1.0': '0 1', 'out0.0': '0 1' },
    });
  });

  it('says so where it cannot tell where a part begins, or how many axes there are', () => {
    const open = {
      ...around,
      inputs: [
        ['batch', undefined],
        ['batch', 3],
      ],
    };
    expect(follow(spec, 'in1.1', [0, 1, 2], open)).toBe('parts of unknown size along the channels');
    expect(follow(spec, 'in0.1', [0, 1], { inputs: [undefined], outputs: [undefined] })).toBe(
      'the rank is unknown',
    );
  });
});

describe('Split', () => {
  const around = {
    inputs: [['batch', 6], [2]],
    outputs: [
      ['batch', 3],
      ['batch', 3],
    ],
    numbers: { 1: [3, 3] },
  };
  const spec = { opType: 'Split', attributes: { axis: 1n } };

  it('gives each part its stretch of the units', () => {
    expect(follow(spec, 'in0.1', [0, 1, 2, 3, 4, 5], around)).toEqual({
      axes: { 'out0.1': '0 1 2', 'out1.1': '3 4 5' },
    });
    expect(follow(spec, 'out1.1', [0, 1, 2], around)).toEqual({ axes: { 'in0.1': '- - - 0 1 2' } });
  });

  it('states the sizes that are left, or says that equal parts would be uneven', () => {
    const uneven = { 'in0.1': [0, 1, 3], 'out0.1': [0, 1], 'out1.1': [0] };
    expect(resize(spec, uneven, around)).toEqual({ in1: [2, 1] });
    const equal = { inputs: [['batch', 6]], outputs: around.outputs };
    expect(resize({ ...spec, attributes: { axis: 1n, num_outputs: 2n } }, uneven, equal)).toBe(
      'a Split into equal parts would become uneven',
    );
    const even = { 'in0.1': [0, 1, 3, 4], 'out0.1': [0, 1], 'out1.1': [0, 1] };
    expect(
      resize({ ...spec, attributes: { axis: 1n, num_outputs: 2n } }, even, equal),
    ).toBeUndefined();
  });
});

describe('Slice', () => {
  const around = {
    inputs: [['batch', 6], [1], [1], [1]],
    outputs: [['batch', 4]],
    numbers: { 1: [2], 2: [2 ** 62], 3: [-1] },
  };

  it('takes the units between its bounds', () => {
    expect(follow({ opType: 'Slice' }, 'in0.1', [0, 1, 2, 3, 4, 5], around)).toEqual({
      axes: { 'out0.1': '2 3 4 5' },
    });
    expect(follow({ opType: 'Slice' }, 'out0.1', [0, 1, 2, 3], around)).toEqual({
      axes: { 'in0.1': '- - 0 1 2 3' },
    });
    const negative = {
      ...around,
      numbers: { ...around.numbers, 1: [-3], 2: [-1] },
      outputs: [['batch', 2]],
    };
    expect(follow({ opType: 'Slice' }, 'in0.1', [0, 1, 2, 3, 4, 5], negative)).toEqual({
      axes: { 'out0.1': '3 4' },
    });
    expect(follow({ opType: 'Slice' }, 'in0.0', [0, 1], around)).toEqual({
      axes: { 'in0.0': '0 1', 'out0.0': '0 1' },
    });
  });

  it('states how many of the indices before its bounds stay; an end past the axis stays one', () => {
    expect(resize({ opType: 'Slice' }, { 'in0.1': [0, 3, 4], 'out0.1': [1, 2] }, around)).toEqual({
      in1: [1],
      in2: [Number.MAX_SAFE_INTEGER],
    });
    const inner = { ...around, numbers: { ...around.numbers, 2: [5] } };
    expect(resize({ opType: 'Slice' }, { 'in0.1': [0, 3, 5], 'out0.1': [1] }, inner)).toEqual({
      in1: [1],
      in2: [2],
    });
  });

  it('says no to steps, and to bounds that only a run tells', () => {
    const stepped = {
      ...around,
      inputs: [...around.inputs, [1]],
      numbers: { ...around.numbers, 4: [2] },
    };
    expect(follow({ opType: 'Slice' }, 'in0.1', [0, 1, 2, 3, 4, 5], stepped)).toBe(
      'it takes every other channel',
    );
    const open = { ...around, numbers: { 3: [1] } };
    expect(follow({ opType: 'Slice' }, 'in0.1', [0, 1, 2, 3, 4, 5], open)).toBe(
      'it cuts the channels at a place that only a run tells',
    );
  });
});
