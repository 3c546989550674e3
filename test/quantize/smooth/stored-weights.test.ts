import { expect, it, vi } from 'vitest';
import type { Model } from '../../../src/ir/model.ts';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { findSmoothingSites } from '../../../src/quantize/smooth/find-sites.ts';
import {
  encodeScales,
  type PlannedSmoothing,
} from '../../../src/quantize/smooth/planned-smoothing.ts';
import { builtInRecipe } from '../../../src/recipe/load.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { TENSORRT_LOWERING, TENSORRT_TWIN_LOWERING } from '../../../src/targets/onnx/lowering.ts';
import { ranges } from '../../kit/models.ts';
import { fixture } from '../../kit/run-model.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** Every place to smooth, with scales of which none is a power of two: float16 would round all weights. */
function smoothingOf(source: Model): PlannedSmoothing {
  const sites = findSmoothingSites(source).map(({ name, kind, into, layers, channels }) => ({
    name,
    kind,
    into,
    purpose: 'activations' as const,
    alpha: 0.8,
    layers: layers.map((layer) => layer.name),
    scales: encodeScales(Float32Array.from({ length: channels }, (_, i) => 0.3 * 1.94 ** (i % 6))),
  }));
  return { sites, declined: [] };
}

function rangesOf(source: Model) {
  const inputs = findSmoothingSites(source).flatMap(({ layers }) =>
    layers.map(({ input }) => input),
  );
  return ranges(Object.fromEntries(inputs.map((input) => [input, [-4, 4] as const])));
}

it('gives the FP32 twin of a smoothed FP16 artifact the same weight integers', async () => {
  const source = await fixture('glm-nano/genai');
  const recipe = builtInRecipe('w8a8-full');
  const plan = planQuantization(source, recipe, rangesOf(source), smoothingOf(source));
  const [artifact, twin] = [TENSORRT_LOWERING, TENSORRT_TWIN_LOWERING].map(
    (lowering) => applyQuantization(source, plan, { lowering }).graph.initializers,
  );
  let compared = 0;
  for (const [name, tensor] of artifact!) {
    if (!name.endsWith('_quantized')) continue;
    // The twin's are uint8 about 128, which no CPU saturates.
    const integers = (await readTensorBytes(twin!.get(name)!)).map((byte) => byte ^ 0x80);
    expect(integers, name).toEqual(await readTensorBytes(tensor));
    compared++;
  }
  expect(compared).toBe(plan.layers.filter(({ scheme }) => scheme === 'w8a8').length);
  // q, k and v, output and gate-up of six blocks: the down projections are in two planes, float for TensorRT.
  expect(compared).toBe(18);
});

it('keeps the type of a weight that stays float beside smoothed layers', async () => {
  const source = await fixture('glm-nano/genai');
  const rules = [{ role: 'gate' as const, scheme: 'float' as const }];
  const recipe = { ...builtInRecipe('w8a8-full'), rules };
  const plan = planQuantization(source, recipe, rangesOf(source), smoothingOf(source));
  const { initializers } = applyQuantization(source, plan).graph;
  const stays = plan.layers.filter(({ role }) => role === 'gate');
  expect(stays).toHaveLength(6);
  for (const { weight } of stays) {
    expect(initializers.get(weight.initializer)?.dataType).toBe('float16');
  }
});
