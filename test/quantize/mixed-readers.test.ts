import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { planQuantization } from '../../src/quantize/plan.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { model, node, noise, ranges, value } from '../kit/models.ts';
import { runModel } from '../kit/run-model.ts';
import { weight } from './body-models.ts';

const WIDTH = 64;

/** What the first layer makes is read by a layer with INT8 activations, and by something else. */
function branching(rank: 2 | 3) {
  const dims = rank === 2 ? ['n', WIDTH] : ['b', 's', WIDTH];
  return model({
    nodes: [
      node('MatMul', ['x', 'first.weight'], 'a'),
      node('MatMul', ['a', 'second.weight'], 'b'),
      node('Neg', ['a'], 'c'),
      node('Mul', ['b', 'c'], 'y'),
    ],
    initializers: [weight('first.weight', WIDTH, WIDTH), weight('second.weight', WIDTH, WIDTH)],
    inputs: [value('x', 'float32', dims)],
    outputs: [value('y', 'float32', dims)],
  });
}

describe('a product without bias that a quantized layer reads, and another node', () => {
  it.each([
    [3, 'w8a8'],
    [2, 'w8a8'],
    [3, 'w8a16'],
    [2, 'w8a16'],
  ] as const)('fuses at rank %i as %s', async (rank, scheme) => {
    const source = branching(rank);
    const recipe = { ...builtInRecipe('w8a8'), rules: [{ match: '^a$', scheme }] };
    const plan = planQuantization(source, recipe, ranges({ x: [-1, 1], a: [-3, 3] }));
    expect(plan.layers[0]?.scheme).toBe(scheme);
    const shape = rank === 2 ? [5, WIDTH] : [1, 5, WIDTH];
    const feeds = { x: new OrtTensor('float32', noise(1, 5 * WIDTH), shape) };
    const { optimized } = await runModel(applyQuantization(source, plan), [feeds]);
    expect(auditFusion(optimized, plan)).toMatchObject({ planned: 2, fused: 2, unfused: [] });
  });
});
