import { describe, expect, it } from 'vitest';
import { isPackedProduct } from '../../../src/prune/rules/index.ts';
import { node } from '../../kit/models.ts';
import { follow } from './follow.ts';

const DEQUANTIZE = 'DequantizeLinear';

describe('QuantizeLinear and DequantizeLinear', () => {
  it('cut scales and zero points that lie along the units, and no others', () => {
    const around = { inputs: [[4, 3], [3], [3]], outputs: [[4, 3]] };
    const perColumn = { opType: DEQUANTIZE, attributes: { axis: 1n } };
    const columns = {
      axes: { 'in0.1': '0 1 2', 'out0.1': '0 1 2', 'in1.0': '0 1 2', 'in2.0': '0 1 2' },
    };
    expect(follow(perColumn, 'out0.1', [0, 1, 2], around)).toEqual(columns);
    expect(follow(perColumn, 'in1.0', [0, 1, 2], around)).toEqual(columns);
    expect(follow(perColumn, 'out0.0', [0, 1, 2, 3], around)).toEqual({
      axes: { 'in0.0': '0 1 2 3', 'out0.0': '0 1 2 3' },
    });
  });

  it('with one scale pass every axis', () => {
    for (const scale of [[], [1]]) {
      expect(
        follow({ opType: 'QuantizeLinear' }, 'in0.1', [0, 1, 2], {
          inputs: [[4, 3], scale],
          outputs: [[4, 3]],
        }),
      ).toEqual({
        axes: { 'in0.1': '0 1 2', 'out0.1': '0 1 2' },
      });
    }
  });

  it('by blocks cut across them and say no along them', () => {
    const around = {
      inputs: [
        [64, 3],
        [2, 3],
      ],
      outputs: [[64, 3]],
    };
    const spec = { opType: DEQUANTIZE, attributes: { axis: 0n, block_size: 32n } };
    expect(follow(spec, 'out0.1', [0, 1, 2], around)).toEqual({
      axes: { 'in0.1': '0 1 2', 'out0.1': '0 1 2', 'in1.1': '0 1 2' },
    });
    expect(
      follow(
        spec,
        'out0.0',
        Array.from({ length: 64 }, (_, unit) => unit),
        around,
      ),
    ).toBe('blocks of channels share a scale');
  });
});

describe('products of packed integers', () => {
  it('say that the float model is the one to prune', () => {
    const around = {
      inputs: [
        ['batch', 5, 4],
        [3, 4],
      ],
      outputs: [['batch', 5, 3]],
    };
    expect(
      follow({ opType: 'MatMulNBits', domain: 'com.microsoft' }, 'in0.2', [0, 1, 2, 3], around),
    ).toBe('its weight is packed integers: prune the float model, then quantize');
    const product = node('MatMulNBits', ['x', 'w'], 'y');
    expect(isPackedProduct({ ...product, domain: 'com.microsoft' })).toBe(true);
    expect(isPackedProduct({ ...product, domain: 'custom' })).toBe(false);
  });
});
