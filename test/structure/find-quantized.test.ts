import { describe, expect, it } from 'vitest';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Model, Node } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { planAhead } from '../../src/quantize/plan-ahead.ts';
import type { ActivationRange } from '../../src/quantize/quantization-plan.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { describeForms, findQuantized } from '../../src/structure/find-quantized.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { fixture } from '../kit/run-model.ts';

function integers(name: string, dims: readonly number[], dataType: DataType = 'int8'): Tensor {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return inlineTensor(name, dataType, dims, new Uint8Array(count));
}

function graph(nodes: readonly Node[], initializers: readonly Tensor[]): Model {
  return model({
    nodes,
    initializers,
    inputs: [value('x', 'float32', ['n', 's', 32])],
    outputs: [value('y', 'float32', ['n', 's', 32])],
  });
}

describe('findQuantized', () => {
  it.each([
    ['MatMulInteger', ['q', 'w'], integers('w', [32, 32])],
    ['QLinearMatMul', ['q', 's', 'z', 'w', 's', 'z', 's', 'z'], integers('w', [32, 32])],
    ['DynamicQuantizeLSTM', ['x', 'w'], integers('w', [1, 64, 32])],
    ['MatMulNBits', ['x', 'w', 's'], integers('w', [32, 1, 16], 'uint8')],
    ['QLinearConv', ['q', 's', 'z', 'w', 's', 'z', 's', 'z'], integers('w', [32, 32, 1, 1])],
  ])('knows the integers of %s', (op, inputs, weight) => {
    const found = findQuantized(graph([node(op, inputs, 'y')], [weight]));
    expect(found).toMatchObject([{ kind: 'product', form: op }]);
    expect(found[0]?.byteLength).toBe(weight.source.byteLength);
  });

  it('knows integers behind DequantizeLinear and Transpose, and floats that the graph rounds', () => {
    const nodes = [
      node('DequantizeLinear', ['w', 'scale'], 'wide'),
      node('Transpose', ['wide'], 'turned', { perm: [1n, 0n] }),
      node('MatMul', ['x', 'turned'], 'a'),
      node('QuantizeLinear', ['trained', 'scale'], 'integers'),
      node('DequantizeLinear', ['integers', 'scale'], 'rounded'),
      node('MatMul', ['a', 'rounded'], 'y'),
    ];
    const trained = floats('trained', [32, 32], noise(1, 1024));
    const found = findQuantized(graph(nodes, [integers('w', [32, 32]), trained]));
    expect(found.map(({ form, byteLength }) => [form, byteLength])).toEqual([
      ['DequantizeLinear', 1024],
      ['DequantizeLinear', 0],
    ]);
    expect(describeForms(found)).toBe('2 DequantizeLinear');
  });

  it('looks into bodies, and tells tables from products', () => {
    const body = {
      ...graph([node('MatMulInteger', ['q', 'w'], 'inner')], [integers('w', [32, 32])]).graph,
      inputs: [],
    };
    const nodes = [
      node('If', ['flag'], 'a', { then_branch: body, else_branch: { ...body, nodes: [] } }),
      node('Gather', ['rows', 'ids'], 'y'),
    ];
    const found = findQuantized(graph(nodes, [integers('rows', [64, 32])]));
    expect(found.map(({ kind, form }) => [kind, form])).toEqual([
      ['product', 'MatMulInteger'],
      ['table', 'Gather'],
    ]);
  });

  it('finds nothing in float models, nor in the integers of shapes', async () => {
    const shapes = inlineTensor('shape', 'int64', [512], new Uint8Array(4096));
    expect(findQuantized(graph([node('Reshape', ['x', 'shape'], 'y')], [shapes]))).toEqual([]);
    expect(findQuantized(await fixture('vit-fashion/optimum'))).toEqual([]);
  });
});

const RANGE: ActivationRange = { min: -4, max: 4, calibrator: 'minmax' };

describe('quantizing what is quantized', () => {
  for (const name of ['w8a8', 'w8a8-dynamic', 'w8a16', 'w4a16-g32']) {
    it(`is refused with the form that is there: an artifact of ${name}`, async () => {
      const float = await fixture('glm-nano/optimum');
      const ranges = new Map(
        findLinears(float).map(({ input }): [string, ActivationRange] => [input, RANGE]),
      );
      const artifact = applyQuantization(
        float,
        planQuantization(float, builtInRecipe(name), ranges),
      );
      for (const again of ['w8a8', 'w8a16']) {
        expect(() => planAhead(artifact, builtInRecipe(again))).toThrow(
          /^plan: recipe w8a\d+ quantizes nothing in this model \(got no linear layer: the model is already quantized \(.*\d+ [A-Z]\w+.*\)/,
        );
      }
    });
  }
});
