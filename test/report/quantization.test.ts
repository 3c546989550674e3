import { describe, expect, it } from 'vitest';
import { planQuantization } from '../../src/quantize/plan.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import { renderPlan } from '../../src/report/quantization.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';

describe('the table of a plan', () => {
  it('counts the bytes of a weight that several layers share once', () => {
    const float = model({
      nodes: [
        node('MatMul', ['x', 'w'], 'a'),
        node('Tanh', ['a'], 'b'),
        node('MatMul', ['b', 'w'], 'c'),
        node('Tanh', ['c'], 'd'),
        node('MatMul', ['d', 'w'], 'e'),
        node('Relu', ['e'], 'y'),
      ],
      initializers: [floats('w', [64, 64], noise(1, 64 * 64))],
      inputs: [value('x', 'float32', ['n', 64])],
      outputs: [value('y', 'float32', ['n', 64])],
    });
    const text = renderPlan(planQuantization(float, builtInRecipe('w8a16'), new Map()));
    // 64 x 64 floats; a byte each and a scale for 32 of them.
    expect(text).toMatch(/^other +3 +w8a16 +16\.4 kB +4\.61 kB$/m);
    expect(text).toMatch(/^Linear +16\.4 kB -> 4\.61 kB/m);
  });
});
