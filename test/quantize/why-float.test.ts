import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { littleQuantized, whyNoLinears } from '../../src/quantize/why-float.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import { tensorrtWriter } from '../../src/targets/tensorrt/writer.ts';
import { floats, model, node, noise, ranges, value } from '../kit/models.ts';

const w8a8 = builtInRecipe('w8a8');
const w8a16 = builtInRecipe('w8a16');

function weight(name: string, dims: readonly number[]) {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return floats(name, dims, noise(count, count));
}

/**
 * A network of 3-wide convolutions with a head of `width` outputs. The convolutions hold 16 x 16 x 3 and
 * 32 x 16 x 3 floats, 9216 bytes; behind the second lies a Reshape.
 */
function convolutions(width: number): Model {
  return model({
    nodes: [
      node('Conv', ['x', 'one'], 'a', { pads: [1n, 1n] }),
      node('Relu', ['a'], 'b'),
      node('Reshape', ['flat', 'shape'], 'two'),
      node('Conv', ['b', 'two'], 'c', { pads: [1n, 1n] }),
      node('ReduceMean', ['c'], 'd', { axes: [2n], keepdims: 0n }),
      node('MatMul', ['d', 'head'], 'y'),
    ],
    initializers: [
      weight('one', [16, 16, 3]),
      weight('flat', [32 * 16 * 3]),
      inlineTensor('shape', 'int64', [3], new Uint8Array(BigInt64Array.of(32n, 16n, 3n).buffer)),
      weight('head', [32, width]),
    ],
    inputs: [value('x', 'float32', ['n', 16, 50])],
    outputs: [value('y', 'float32', ['n', width])],
    opset: 17,
  });
}

describe('What a plan leaves float', () => {
  it('is counted by the operator that computes with it, and warned of when it is most.', () => {
    // 32 x 16 floats of the head: 2048 of 2048 + 9216 + 24 bytes are 18 %, 9216 are 82 %.
    const plan = planQuantization(convolutions(16), w8a16, new Map());
    expect(plan.totals.floatBytes).toEqual({ Conv: 9216 });
    expect(littleQuantized(plan)).toBe(
      '18 % of constant bytes are quantized: Conv weights hold 82 % and stay float.',
    );
    // 128 outputs: 16384 of 25624 bytes.
    expect(littleQuantized(planQuantization(convolutions(128), w8a16, new Map()))).toBeUndefined();
  });

  it('is why TensorRT gets nothing, in place of the advice to do what was done.', () => {
    const source = convolutions(16);
    const plan = planQuantization(source, w8a8, ranges({ d: [-1, 1] }));
    const write = (of: typeof plan) => () =>
      tensorrtWriter.lower({ model: source, plan: of, options: {}, shapes: new Map() });
    expect(write(plan)).toThrow(
      'recipe w8a8 can give them to no layer of this model (got y: head; Conv weights ' +
        'hold 82 % of constant bytes and are not quantized). Build the engine from the float model.',
    );
    expect(write(planQuantization(source, w8a16, new Map()))).toThrow('Quantize with recipe w8a8');
  });

  it('has the reasons of every product that is no linear layer.', () => {
    const product = (name: string) => node('MatMul', [name, 'x'], `${name}_out`);
    const names = ['a', 'b', 'c'];
    const source = model({
      nodes: [
        ...names.map(product),
        node(
          'Sum',
          names.map((name) => `${name}_out`),
          'y',
        ),
      ],
      initializers: names.map((name) => weight(name, [32, 32])),
      inputs: [value('x', 'float32', ['n', 32, 8])],
      outputs: [value('y', 'float32', ['n', 32, 8])],
    });
    const why =
      '/a_out/MatMul and 2 more: the weight is the left operand; MatMul weights hold 100 %';
    expect(whyNoLinears(source)).toMatch(why);
    expect(() => planQuantization(source, w8a16, new Map())).toThrow(`no linear layer: ${why}`);
  });
});
