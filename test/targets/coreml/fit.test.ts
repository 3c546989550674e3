import { expect, it } from 'vitest';
import { createWeightKernel } from '../../../src/numerics/weight-kernel.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { COREML } from '../../../src/targets/coreml/target.ts';
import { MNN } from '../../../src/targets/mnn/target.ts';
import { linearModel, ranges } from '../../kit/models.ts';

it.each(['w8a8', 'w8a8x2'])(
  'Core ML has the weights of a %s layer alone, and says why',
  async (scheme) => {
    const source = linearModel({ op: 'MatMul', rank: 3 });
    const plan = planQuantization(
      source,
      parseRecipe(`{ name: a, head: ${scheme} }`, 'x'),
      ranges({ x: [-1, 1] }),
    );
    const writer = await COREML.load();
    const [layer] = (await writer.fit!(source, plan, createWeightKernel())).layers;
    expect(layer).toMatchObject({ scheme: 'w8a16', reason: 'Core ML: weights alone' });
    expect(layer).not.toHaveProperty('activation');
  },
);

it('MNN takes a layer in two planes as INT8 weights, as it rounds activations itself', async () => {
  const source = linearModel({ op: 'MatMul', rank: 3 });
  const plan = planQuantization(
    source,
    parseRecipe('{ name: a, head: w8a8x2 }', 'x'),
    ranges({ x: [-1, 1] }),
  );
  const { whyFloat } = await MNN.load();
  expect(whyFloat(plan.layers[0]!)).toBeUndefined();
});
