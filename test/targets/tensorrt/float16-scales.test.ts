import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { float16ToFloat32 } from '../../../src/numerics/float16.ts';
import { createWeightKernel } from '../../../src/numerics/weight-kernel.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { ONNXRUNTIME_LOWERING, TENSORRT_LOWERING } from '../../../src/targets/onnx/lowering.ts';
import { withoutInexactScales } from '../../../src/targets/tensorrt/float16-scales.ts';
import { lintQdq } from '../../../src/targets/tensorrt/lint-qdq.ts';
import { floats, model, node, noise, ranges, value } from '../../kit/models.ts';

const N = 32;
const w8a8 = parseRecipe('{ name: all, head: w8a8 }', 'test');
const kernel = createWeightKernel();

/** Two float16 layers in a row whose weights reach these magnitudes. */
function twoLayers(first: number, second: number) {
  const scaled = (seed: number, magnitude: number): Float32Array =>
    noise(seed, N * N).map((x) => x * magnitude);
  return model({
    nodes: [node('MatMul', ['x', 'w1'], 'h'), node('MatMul', ['h', 'w2'], 'y')],
    initializers: [
      floats('w1', [N, N], scaled(1, first), 'float16'),
      floats('w2', [N, N], scaled(2, second), 'float16'),
    ],
    inputs: [value('x', 'float16', ['n', 's', N])],
    outputs: [value('y', 'float16', ['n', 's', N])],
    opset: 19,
  });
}

describe('float16 scales of small weights and activations', () => {
  it('below 2^-14 still use all 8 bits of a weight', async () => {
    // Scales near 1e-3 / 127 = 8e-6, eight times below the smallest normal float16.
    const source = twoLayers(1e-3, 1);
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1], h: [-0.01, 0.01] }));
    expect(await withoutInexactScales(source, plan, TENSORRT_LOWERING, kernel)).toBe(plan);
    const quantized = applyQuantization(source, plan, { lowering: TENSORRT_LOWERING });
    const { initializers } = quantized.graph;
    const integers = new Int8Array(
      (await readTensorBytes(initializers.get('w1_quantized')!)).buffer,
    );
    expect(Math.max(...integers.map(Math.abs))).toBeGreaterThanOrEqual(126);
    const bytes = await readTensorBytes(initializers.get('w1_scale')!);
    const scales = Array.from(new Uint16Array(bytes.buffer), float16ToFloat32);
    expect(Math.max(...scales)).toBeLessThan(2 ** -14);
    expect((await lintQdq(quantized)).filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('below 3e-6 leave the layer float, with the reason', async () => {
    const source = twoLayers(1e-4, 1);
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1], h: [-1, 1] }));
    const held = await withoutInexactScales(source, plan, TENSORRT_LOWERING, kernel);
    expect(held.layers.map(({ name, scheme, reason }) => [name, scheme, reason])).toEqual([
      ['h', 'float', 'float16 scale of the weight < 3e-6'],
      ['y', 'w8a8', undefined],
    ]);
    expect(held.totals.layers).toMatchObject({ w8a8: 1, float: 1 });
    const quantized = applyQuantization(source, held, { lowering: TENSORRT_LOWERING });
    expect((await lintQdq(quantized)).filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('count for activations too', async () => {
    const source = twoLayers(1, 1);
    // 3e-4 / 127 = 2.4e-6
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1], h: [-3e-4, 1e-4] }));
    const held = await withoutInexactScales(source, plan, TENSORRT_LOWERING, kernel);
    expect(held.layers[1]).toMatchObject({
      scheme: 'float',
      reason: 'float16 scale of the activation < 3e-6',
    });
  });

  it('are no matter where scales are float32', async () => {
    const source = twoLayers(1e-4, 1);
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1], h: [-1e-5, 1e-5] }));
    expect(await withoutInexactScales(source, plan, ONNXRUNTIME_LOWERING, kernel)).toBe(plan);
  });

  it('refuse the model when no layer is left', async () => {
    const source = twoLayers(1e-4, 1e-4);
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1], h: [-1, 1] }));
    await expect(withoutInexactScales(source, plan, TENSORRT_LOWERING, kernel)).rejects.toThrow(
      UnsupportedError,
    );
  });
});
