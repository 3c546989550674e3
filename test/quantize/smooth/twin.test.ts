import { expect, it } from 'vitest';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { applyQuantization } from '../../../src/quantize/apply.ts';
import { TENSORRT_LOWERING, TENSORRT_TWIN_LOWERING } from '../../../src/quantize/lowering.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { findSmoothingSites } from '../../../src/quantize/smooth/find-sites.ts';
import { encodeScales } from '../../../src/quantize/smooth/planned-smoothing.ts';
import { builtInRecipe } from '../../../src/recipe/load.ts';
import { fixture } from '../run-model.ts';
import { ranges } from '../small-models.ts';

it('gives the FP32 twin of a smoothed FP16 artifact the same weight integers', async () => {
  const source = await fixture('glm-nano/genai');
  const sites = findSmoothingSites(source).map(({ name, kind, into, layers, channels }) => ({
    name,
    kind,
    into,
    purpose: 'activations' as const,
    alpha: 0.8,
    layers: layers.map((layer) => layer.name),
    // None of them a power of two, so that float16 rounds every folded weight.
    scales: encodeScales(Float32Array.from({ length: channels }, (_, i) => 0.3 * 1.94 ** (i % 6))),
  }));
  const inputs = findSmoothingSites(source).flatMap(({ layers }) =>
    layers.map(({ input }) => input),
  );
  const seen = ranges(Object.fromEntries(inputs.map((input) => [input, [-4, 4] as const])));
  const plan = planQuantization(source, builtInRecipe('w8a8-full'), seen, { sites, declined: [] });
  const [artifact, twin] = [TENSORRT_LOWERING, TENSORRT_TWIN_LOWERING].map(
    (lowering) => applyQuantization(source, plan, { lowering }).graph.initializers,
  );
  let compared = 0;
  for (const [name, tensor] of artifact!) {
    if (!name.endsWith('_quantized')) continue;
    expect(await readTensorBytes(twin!.get(name)!), name).toEqual(await readTensorBytes(tensor));
    compared++;
  }
  expect(compared).toBe(plan.layers.filter(({ scheme }) => scheme === 'w8a8').length);
  expect(compared).toBeGreaterThan(20);
});
