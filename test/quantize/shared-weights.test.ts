import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { readTensorBytes } from '../../src/ir/tensor.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { momentsOfGram } from '../../src/quantize/weights/input-moments.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import type { Recipe, Scheme } from '../../src/recipe/recipe.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { floats, model, node, noise, ranges, value } from '../kit/models.ts';
import { runModel } from '../kit/run-model.ts';

const WIDTH = 64;

/** Three layers in a row that multiply one matrix, as the layers of ALBERT do. */
function albert(float: 'float32' | 'float16' = 'float32'): Model {
  const weights = noise(1, WIDTH * WIDTH).map((entry) => entry / 8);
  return model({
    nodes: [
      node('MatMul', ['x', 'w'], 'a'),
      node('Tanh', ['a'], 'b'),
      node('MatMul', ['b', 'w'], 'c'),
      node('Tanh', ['c'], 'd'),
      node('MatMul', ['d', 'w'], 'y'),
    ],
    initializers: [floats('w', [WIDTH, WIDTH], weights, float)],
    inputs: [value('x', float, ['n', 's', WIDTH])],
    outputs: [value('y', float, ['n', 's', WIDTH])],
  });
}

const RANGES = ranges({ x: [-1, 1], b: [-1, 1], d: [-1, 1] });

function named(name: string, change: Partial<Recipe['weights']> = {}): Recipe {
  const base = builtInRecipe(name);
  const scheme = name.startsWith('w4') ? 'w4a16' : (name as Scheme);
  return {
    ...base,
    smoothing: 'none',
    weights: { ...base.weights, ...change },
    // The last product is a head to every recipe.
    rules: [{ match: '.', scheme }],
  };
}

const RECIPES: Readonly<Record<string, Recipe>> = {
  'w4a16, MatMulNBits': named('w4a16-g32', { rounding: 'rtn' }),
  'w4a16, DequantizeLinear': named('w4a16-g32', { rounding: 'rtn', form: 'qdq' }),
  'w8a16 in blocks': named('w8a16'),
  'w8a16 by channel': named('w8a16', { granularity: 'channel' }),
  w8a8: named('w8a8'),
  'w8a8-dynamic': named('w8a8-dynamic'),
};

describe('a weight that three layers share', () => {
  for (const [name, recipe] of Object.entries(RECIPES)) {
    it(`is stored once: ${name}`, async () => {
      const float = albert();
      const plan = planQuantization(float, recipe, RANGES);
      expect(plan.layers.map(({ scheme }) => scheme)).not.toContain('float');
      const quantized = applyQuantization(float, plan);
      const constants = [...quantized.graph.initializers.values()];
      // Half a byte for each weight is the least that any of these schemes stores.
      const large = constants.filter(({ source }) => source.byteLength >= (WIDTH * WIDTH) / 2);
      expect(large).toHaveLength(1);
      const written = constants.reduce((sum, { source }) => sum + source.byteLength, 0);
      expect(written).toBeLessThan(float.graph.initializers.get('w')!.source.byteLength / 2);
      // Scales and zero points of activations and zero points of zeros are beside the plan.
      expect(plan.totals.bytesAfter).toBeLessThanOrEqual(written);
      expect(plan.totals.bytesAfter).toBeGreaterThan(written - 3 * (WIDTH + 16));
      expect(plan.totals.linearBytesBefore).toBe(4 * WIDTH * WIDTH);
      const x = new OrtTensor('float32', noise(9, 5 * WIDTH), [1, 5, WIDTH]);
      const wanted = (await runModel(float, [{ x }])).outputs.get('y')!;
      const { outputs, optimized } = await runModel(quantized, [{ x }]);
      // onnxruntime turns a DequantizeLinear into MatMulNBits only where its constants have no other reader.
      const unfused = name.endsWith('DequantizeLinear') ? 3 : 0;
      expect(auditFusion(optimized, plan).unfused).toHaveLength(unfused);
      const found = outputs.get('y')!;
      const error = wanted.reduce((sum, entry, index) => sum + (entry - found[index]!) ** 2, 0);
      const energy = wanted.reduce((sum, entry) => sum + entry ** 2, 0);
      // 4 bits with a step of an eighth of the largest weight leave some 17 dB after three layers.
      expect(10 * Math.log10(energy / error)).toBeGreaterThan(12);
    });
  }

  it('is rounded by GPTQ once, for the moments of all its inputs together', async () => {
    const asked: string[] = [];
    const gram = (scale: number): Float32Array =>
      Float32Array.from({ length: WIDTH * WIDTH }, (_, index) =>
        index % (WIDTH + 1) === 0 ? 2 * scale : scale / (1 + (index % 7)),
      );
    const recipe = named('w4a16-g32', { rounding: 'gptq' });
    const float = albert();
    const bytesOf = async (scales: Readonly<Record<string, number>>): Promise<Uint8Array> => {
      asked.length = 0;
      const quantized = applyQuantization(float, planQuantization(float, recipe, RANGES), {
        moments: async (input) => {
          asked.push(input);
          return momentsOfGram(WIDTH, 8, gram(scales[input]!));
        },
      });
      return readTensorBytes(quantized.graph.initializers.get('w_Q4')!);
    };
    const shared = await bytesOf({ x: 1, b: 2, d: 4 });
    expect(asked).toEqual(['x', 'b', 'd']);
    // The same sum of second moments, otherwise divided: the same integers.
    expect(await bytesOf({ x: 3, b: 3, d: 1 })).toEqual(shared);
  });
});
