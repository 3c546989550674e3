import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { builtInRecipe, parseRecipe } from '../../src/recipe/load.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { floats, IN, linearModel, model, node, noise, OUT, value } from '../kit/models.ts';
import { agreement, fixture, runModel, textFeeds } from '../kit/run-model.ts';

const w8a16 = builtInRecipe('w8a16');
const byChannel = parseRecipe('{ name: by-channel, activations: { bits: float } }', 'test');

const worst = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, x, index) => Math.max(most, Math.abs(x - b[index]!)), 0);

describe('INT8 weights in blocks', () => {
  it.each([
    { op: 'MatMul', rank: 3, bias: true },
    { op: 'Gemm', rank: 2, bias: true, transB: true },
  ] as const)('of a $op run as one MatMulNBits', async (spec) => {
    const source = linearModel(spec);
    const plan = planQuantization(source, w8a16, new Map());
    expect(plan.layers[0]!.weight).toMatchObject({ blockSize: 32, bytesAfter: 1.125 * IN * OUT });
    const quantized = applyQuantization(source, plan);
    expect(quantized.graph.nodes.map(({ opType }) => opType)).toEqual(['MatMulNBits', 'Add']);
    const dims: readonly number[] = spec.rank === 3 ? [1, 5, IN] : [5, IN];
    const feeds = [{ x: new OrtTensor('float32', noise(3, 5 * IN), dims) }];
    const found = await runModel(quantized, feeds);
    expect(auditFusion(found.optimized, plan).fused).toBe(1);
    const float = await runModel(source, feeds);
    // 64 roundings of at most 1/254 of weights and of activations up to 1, adding like a random walk.
    expect(worst(float.outputs.get('y')!, found.outputs.get('y')!)).toBeLessThan(0.05);
  });

  it('are not cut where blocks do not divide the input features', () => {
    const k = 48;
    const source = model({
      nodes: [node('MatMul', ['x', 'w'], 'y')],
      initializers: [floats('w', [k, OUT], noise(1, k * OUT))],
      inputs: [value('x', 'float32', ['n', 's', k])],
      outputs: [value('y', 'float32', ['n', 's', OUT])],
    });
    const [layer] = planQuantization(source, w8a16, new Map()).layers;
    expect(layer!.weight.blockSize).toBeUndefined();
    expect(layer!.weight.bytesAfter).toBe(k * OUT + 4 * OUT);
  });

  it('are refused of a plan whose blocks do not divide the features of the model', () => {
    const source = linearModel({ op: 'MatMul', rank: 3 });
    const plan = planQuantization(source, w8a16, new Map());
    const layers = plan.layers.map((layer) => ({
      ...layer,
      weight: { ...layer.weight, blockSize: 128 },
    }));
    expect(() => applyQuantization(source, { ...plan, layers })).toThrow(
      'blocks of 128 do not divide its input features (got 64)',
    );
  });

  it('of a table are shared by the head that is tied to it, and gathered block by block', async () => {
    const width = 64;
    const vocabulary = 100;
    const table = noise(7, vocabulary * width);
    const source = model({
      nodes: [
        node('Gather', ['embed_tokens.weight', 'ids'], 'rows'),
        node('Transpose', ['embed_tokens.weight'], 'turned', { perm: [1n, 0n] }),
        node('MatMul', ['rows', 'turned'], 'logits'),
      ],
      initializers: [floats('embed_tokens.weight', [vocabulary, width], table, 'float16')],
      inputs: [value('ids', 'int64', ['n', 's'])],
      outputs: [
        value('logits', 'float16', ['n', 's', vocabulary]),
        value('rows', 'float16', ['n', 's', width]),
      ],
    });
    const plan = planQuantization(source, w8a16, new Map());
    const quantized = applyQuantization(source, plan);
    const stored = [...quantized.graph.initializers.values()].map(({ name, dims }) => [name, dims]);
    expect(stored.slice(0, 2)).toEqual([
      ['embed_tokens.weight_Q8', [vocabulary, 2, 32]],
      ['embed_tokens.weight_scales', [vocabulary, 2]],
    ]);
    // Integers and scales once, whoever reads them.
    expect(plan.totals.bytesAfter).toBe(1.125 * vocabulary * width);
    const ids = new OrtTensor('int64', BigInt64Array.of(0n, 99n, 42n), [1, 3]);
    const { outputs } = await runModel(quantized, [{ ids }]);
    const rows = outputs.get('rows')!;
    [0, 99, 42].forEach((id, position) => {
      for (let feature = 0; feature < width; feature++) {
        const error = Math.abs(rows[position * width + feature]! - table[id * width + feature]!);
        // Half a step of 1/127, and the rounding of the table to float16.
        expect(error).toBeLessThan(0.5 / 127 + 2 ** -11);
      }
    });
  });

  it('lose less of glm-nano than scales per channel', async () => {
    const source = await fixture('glm-nano/optimum');
    const run = (float: Model) => runModel(float, textFeeds(float, 'heldout.txt', 2, 128));
    const exact = (await run(source)).outputs.get('logits')!;
    const lossOf = async (recipe: typeof w8a16): Promise<number> => {
      const plan = planQuantization(source, recipe, new Map());
      const found = await run(applyQuantization(source, plan));
      expect(auditFusion(found.optimized, plan).unfused).toEqual([]);
      const logits = found.outputs.get('logits')!;
      expect(agreement(exact, logits, logits.length / (2 * 128))).toBeGreaterThan(0.97);
      return Math.sqrt(exact.reduce((sum, x, index) => sum + (x - logits[index]!) ** 2, 0));
    };
    expect(await lossOf(w8a16)).toBeLessThan(await lossOf(byChannel));
  });
});
