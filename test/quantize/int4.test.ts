import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import type { Model } from '../../src/ir/model.ts';
import { opsetVersion } from '../../src/ir/model.ts';
import { readTensorBytes } from '../../src/ir/tensor.ts';
import { float32ToFloat16 } from '../../src/numerics/float16.ts';
import { unpackInt4 } from '../../src/numerics/int4.ts';
import { createInt4Rows, dequantizeInt4Rows } from '../../src/numerics/int4-blocks.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { momentsOfGram } from '../../src/quantize/weights/input-moments.ts';
import { roundToNearest } from '../../src/quantize/weights/round-int4.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import type { Int4Settings, Recipe } from '../../src/recipe/recipe.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { floats, linearModel, model, node, noise, OUT, value } from '../kit/models.ts';
import { agreement, fixture, runModel, textFeeds } from '../kit/run-model.ts';

const EXPORTS = ['optimum', 'torchscript', 'dynamo-opset18', 'dynamo-opset23', 'genai'];

function recipe(settings: Partial<Int4Settings> = {}): Recipe {
  const base = builtInRecipe('w4a16-g32');
  return { ...base, weights: { ...base.weights, rounding: 'rtn', ...settings } };
}

/** The same for models of one product, which is a head to every recipe. */
function recipeForAll(settings: Partial<Int4Settings> = {}): Recipe {
  return { ...recipe(settings), rules: [{ match: '.', scheme: 'w4a16' }] };
}

function quantize(float: Model, settings: Partial<Int4Settings> = {}): Model {
  return applyQuantization(float, planQuantization(float, recipeForAll(settings), new Map()));
}

/** y = x W with W [k, 48]; 48 outputs. */
function product(k: number): { readonly float: Model; readonly weights: Float32Array } {
  const weights = noise(1, k * OUT);
  const float = model({
    nodes: [node('MatMul', ['x', 'w'], 'y')],
    initializers: [floats('w', [k, OUT], weights)],
    inputs: [value('x', 'float32', ['n', 's', k])],
    outputs: [value('y', 'float32', ['n', 's', OUT])],
  });
  return { float, weights };
}

/** What the 4-bit weight stands for, [k, out], by our own quantizer and dequantizer. */
function roundedProduct(weights: Float32Array, k: number, settings: Int4Settings): Float32Array {
  const rows = createInt4Rows(OUT, k, settings.blockSize);
  const turned = Float32Array.from(
    { length: k * OUT },
    (_, index) => weights[(index % k) * OUT + Math.floor(index / k)]!,
  );
  roundToNearest(settings)(turned, rows);
  const values = dequantizeInt4Rows(rows);
  return values.map((_, index) => values[(index % OUT) * k + Math.floor(index / OUT)]!);
}

/** Rows that pick one feature each: the product is the weight itself. */
function unitRows(k: number): OrtTensor {
  const data = new Float32Array(k * k);
  for (let index = 0; index < k; index++) data[index * (k + 1)] = 1;
  return new OrtTensor('float32', data, [1, k, k]);
}

function expectClose(found: Float32Array, wanted: Float32Array, tolerance: number): void {
  expect(found).toHaveLength(wanted.length);
  let worst = 0;
  for (let index = 0; index < found.length; index++) {
    worst = Math.max(worst, Math.abs(found[index]! - wanted[index]!));
  }
  expect(worst).toBeLessThanOrEqual(tolerance);
}

describe('4-bit weights in onnxruntime', () => {
  // 80 and 150 leave the last block short; 150 an odd byte at the end of a row.
  for (const k of [64, 80, 150]) {
    for (const symmetric of [true, false]) {
      for (const form of ['nbits', 'qdq'] as const) {
        it(`are what our dequantizer says (${form}, K ${k}, ${symmetric ? '' : 'a'}symmetric)`, async () => {
          const { float, weights } = product(k);
          const settings = { blockSize: 64, symmetric, rounding: 'rtn', form } as const;
          const { outputs } = await runModel(quantize(float, settings), [{ x: unitRows(k) }]);
          // The kernel turns activations to INT8 by block: 1 becomes 127 * (1 / 127), off by an ulp.
          expectClose(outputs.get('y')!, roundedProduct(weights, k, settings), 1e-6);
        });
      }
    }
  }

  it('come out of an opset-21 DequantizeLinear bit for bit', async () => {
    const k = 80;
    const { float, weights } = product(k);
    for (const symmetric of [true, false]) {
      const settings = { blockSize: 32, symmetric, rounding: 'rtn', form: 'qdq' } as const;
      const quantized = quantize(float, settings);
      const [dequantize] = quantized.graph.nodes;
      const alone = {
        ...quantized,
        graph: {
          ...quantized.graph,
          nodes: [dequantize!],
          inputs: [],
          outputs: [value(dequantize!.outputs[0]!, 'float32', [k, OUT])],
        },
      };
      const { outputs } = await runModel(alone, [{}]);
      expect(outputs.get(dequantize!.outputs[0]!)).toEqual(roundedProduct(weights, k, settings));
    }
  });

  it('multiply as the float weights they stand for, to the INT8 of activations', async () => {
    const { float, weights } = product(64);
    const settings = { blockSize: 32, symmetric: true, rounding: 'rtn', form: 'nbits' } as const;
    const x = new OrtTensor('float32', noise(9, 5 * 64), [1, 5, 64]);
    const rounded = roundedProduct(weights, 64, settings);
    const exact = model({
      ...float.graph,
      initializers: [floats('w', [64, OUT], rounded)],
    });
    const wanted = (await runModel(exact, [{ x }])).outputs.get('y')!;
    const found = (await runModel(quantize(float, settings), [{ x }])).outputs.get('y')!;
    // 64 products of |x| <= 1 off by at most 1/254 and |w| <= 1: 0.1 is five standard deviations.
    expectClose(found, wanted, 0.1);
    expect(Math.max(...wanted)).toBeGreaterThan(2);
  });

  for (const op of ['MatMul', 'Gemm'] as const) {
    for (const transposed of [false, true]) {
      for (const float of ['float32', 'float16'] as const) {
        it(`replace every spelling: ${op}, ${transposed ? '[out, in]' : '[in, out]'}, ${float}`, async () => {
          const source = linearModel({ op, rank: 2, transposed, bias: true, float });
          const plan = planQuantization(source, recipeForAll({ blockSize: 32 }), new Map());
          const quantized = applyQuantization(source, plan);
          expect(quantized.graph.initializers.has('w')).toBe(false);
          expect(opsetVersion(quantized, 'com.microsoft')).toBe(1);
          const data = noise(9, 4 * 64);
          const exact = new OrtTensor('float32', data, [4, 64]);
          const half = new OrtTensor('float16', Uint16Array.from(data, float32ToFloat16), [4, 64]);
          const x = float === 'float32' ? exact : half;
          const wanted = (await runModel(source, [{ x }])).outputs.get('y')!;
          const { outputs, optimized } = await runModel(quantized, [{ x: exact }]);
          // Steps of at most 1/8, uniform errors: five standard deviations of 64 products are 0.7.
          expectClose(outputs.get('y')!, wanted, 0.7);
          const fusion = auditFusion(optimized, plan);
          expect(fusion.kernels).toEqual({ MatMulNBits: 1 });
        });
      }
    }
  }

  it('are planned with the bytes that are written', async () => {
    const { float } = product(150);
    for (const symmetric of [true, false]) {
      const plan = planQuantization(float, recipeForAll({ blockSize: 64, symmetric }), new Map());
      const { initializers } = applyQuantization(float, plan).graph;
      const written = [...initializers.values()].reduce((sum, t) => sum + t.source.byteLength, 0);
      expect(plan.layers[0]!.weight.bytesAfter).toBe(written);
      expect(plan.totals.layers.w4a16).toBe(1);
    }
  });
});

describe('4-bit weights by calibration', () => {
  const moments = momentsOfGram(
    64,
    64,
    Float32Array.from({ length: 64 * 64 }, (_, index) => (index % 65 === 0 ? 2 : 1)),
  );

  it('ask for the moments of their input when bytes are read, and not before', async () => {
    const { float } = product(64);
    const plan = planQuantization(float, recipeForAll({ rounding: 'gptq' }), new Map());
    const asked: string[] = [];
    const quantized = applyQuantization(float, plan, {
      moments: async (input) => {
        asked.push(input);
        return moments;
      },
    });
    expect(asked).toEqual([]);
    for (const tensor of quantized.graph.initializers.values()) await readTensorBytes(tensor);
    expect(asked).toEqual(['x']);
  });

  it('are the same whichever way the weight lies, and however it is read', async () => {
    const bytesOf = async (source: Model): Promise<readonly Uint8Array[]> => {
      const plan = planQuantization(source, recipeForAll({ rounding: 'gptq' }), new Map());
      const quantized = applyQuantization(source, plan, { moments: async () => moments });
      const tensors = [...quantized.graph.initializers.values()];
      return Promise.all(tensors.map(readTensorBytes));
    };
    const weights = noise(1, 64 * OUT);
    const turned = weights.map((_, index) => weights[(index % 64) * OUT + Math.floor(index / 64)]!);
    const matrix = product(64).float;
    const gemm = model({
      nodes: [node('Gemm', ['x', 'w'], 'y', { transB: 1n })],
      initializers: [floats('w', [OUT, 64], turned)],
      inputs: [value('x', 'float32', ['n', 64])],
      outputs: [value('y', 'float32', ['n', OUT])],
    });
    expect(await bytesOf(gemm)).toEqual(await bytesOf(matrix));
  });

  it('say what is missing when there are no moments, and which weight is not finite', async () => {
    const { float } = product(64);
    const plan = planQuantization(float, recipeForAll({ rounding: 'mse' }), new Map());
    const [packed] = [...applyQuantization(float, plan).graph.initializers.values()];
    await expect(readTensorBytes(packed!)).rejects.toThrow(UnsupportedError);
    const weights = noise(1, 64 * OUT);
    weights[5 * OUT + 7] = Number.NaN;
    const broken = {
      ...float,
      graph: { ...float.graph, initializers: new Map([['w', floats('w', [64, OUT], weights)]]) },
    };
    const [bad] = [...quantize(broken).graph.initializers.values()];
    await expect(readTensorBytes(bad!)).rejects.toThrow(
      /^w: the weight holds NaN in output channel 7/,
    );
  });
});

describe('4-bit exports', () => {
  for (const name of EXPORTS) {
    it(`of glm-nano run every layer as MatMulNBits and keep the logits: ${name}`, async () => {
      const float = await fixture(`glm-nano/${name}`);
      const feeds = textFeeds(float, 'heldout.txt', 2, 64);
      const wanted = (await runModel(float, feeds)).outputs.get('logits')!;
      for (const form of ['nbits', 'qdq'] as const) {
        const plan = planQuantization(float, recipe({ form, blockSize: 128 }), new Map());
        const quantized = applyQuantization(float, plan);
        // Empty caches are float32 there.
        const own = textFeeds(quantized, 'heldout.txt', 2, 64);
        const { outputs, optimized } = await runModel(quantized, own);
        const fusion = auditFusion(optimized, plan);
        expect(fusion.unfused).toEqual([]);
        expect(fusion.kernels).toEqual({ MatMulNBits: fusion.planned });
        // Rounding to nearest; 256 classes of bytes.
        expect(agreement(outputs.get('logits')!, wanted, 256)).toBeGreaterThan(0.85);
      }
    });
  }

  it('in the DequantizeLinear form hold int4 about zero and float32 scales [blocks, out]', async () => {
    const { float, weights } = product(64);
    const { graph } = quantize(float, { form: 'qdq', blockSize: 32 });
    const packed = graph.initializers.get('w_Q4')!;
    const scales = graph.initializers.get('w_scales')!;
    expect([packed.dataType, packed.dims]).toEqual(['int4', [64, OUT]]);
    expect([scales.dataType, scales.dims]).toEqual(['float32', [2, OUT]]);
    const integers = unpackInt4(await readTensorBytes(packed), 64 * OUT);
    const scale = new Float32Array((await readTensorBytes(scales)).buffer)[0]!;
    expect(Math.abs(integers[0]! * scale - weights[0]!)).toBeLessThanOrEqual(Math.abs(scale) / 2);
  });
});
