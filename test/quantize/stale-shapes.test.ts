import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Dim, Model } from '../../src/ir/model.ts';
import { inferShapes } from '../../src/passes/infer-shapes.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { floats, IN, model, node, noise, OUT, value } from '../kit/models.ts';
import { cosine, observeRanges, runModel } from '../kit/run-model.ts';

const w8a8 = parseRecipe('{ name: all, head: w8a8 }', 'test');

/** tanh(x W1 + b) W2, the value between them declared with any shape, as an output too if asked. */
function staleModel(input: readonly Dim[], stale: readonly Dim[], isOutput: boolean): Model {
  const made = model({
    nodes: [
      node('MatMul', ['x', 'w1'], 'product'),
      node('Add', ['product', 'b'], 'sum'),
      node('Tanh', ['sum'], 'hidden'),
      node('MatMul', ['hidden', 'w2'], 'y'),
    ],
    initializers: [
      floats('w1', [IN, OUT], noise(1, IN * OUT)),
      floats('b', [OUT], noise(2, OUT)),
      floats('w2', [OUT, IN], noise(3, IN * OUT)),
    ],
    inputs: [value('x', 'float32', [...input, IN])],
    outputs: [{ name: 'y' }, ...(isOutput ? [value('hidden', 'float32', stale)] : [])],
  });
  if (isOutput) return made;
  const valueInfo = new Map([['hidden', value('hidden', 'float32', stale)]]);
  return { ...made, graph: { ...made.graph, valueInfo } };
}

const CASES = [
  { input: ['n', 's'], stale: ['n', OUT], form: 'MatMulIntegerToFloat' },
  { input: [1, 6], stale: [6, OUT], form: 'MatMulIntegerToFloat' },
  { input: ['n'], stale: ['n', 's', OUT], form: 'QGemm' },
  { input: [1, 6], stale: [1, 5, OUT], form: 'MatMulIntegerToFloat' },
  { input: ['n', 's'], stale: ['n', 's', 2 * OUT], form: 'MatMulIntegerToFloat' },
] as const;

describe('a declared shape that what flows contradicts', () => {
  for (const { input, stale, form } of CASES) {
    const feed = {
      x: new OrtTensor('float32', noise(7, 6 * IN), [...[1, 6].slice(-input.length), IN]),
    };
    for (const isOutput of [false, true]) {
      const where = isOutput ? 'a graph output' : 'an intermediate value';
      it(`does not decide how ${where} [${stale}] of an input [${input}] is multiplied`, async () => {
        const source = staleModel(input, stale, isOutput);
        const float = await runModel(source, [feed]);
        const ranges = await observeRanges(staleModel(input, [], false), [feed], ['x']);
        ranges.set('hidden', { min: -1, max: 1, calibrator: 'minmax' });
        const plan = planQuantization(source, w8a8, ranges);
        expect(plan.layers.map((layer) => layer.form)).toEqual([form, form]);
        const quantized = await runModel(applyQuantization(source, plan), [feed]);
        expect(auditFusion(quantized.optimized, plan).unfused).toEqual([]);
        // Two layers of 8 bits in a row keep 0.999.
        expect(cosine(quantized.outputs.get('y')!, float.outputs.get('y')!)).toBeGreaterThan(0.99);
      });
    }
  }

  it('is put right in the file that is written', () => {
    const source = staleModel(['n', 's'], ['n', OUT], false);
    const seen = { min: -1, max: 1, calibrator: 'minmax' } as const;
    const plan = planQuantization(
      source,
      w8a8,
      new Map([
        ['x', seen],
        ['hidden', seen],
      ]),
    );
    const { valueInfo } = applyQuantization(source, plan).graph;
    expect([...valueInfo.values()]).toEqual([value('hidden', 'float32', ['n', 's', OUT])]);
  });

  it('is replaced by inference, one that only says more is kept', () => {
    const shapeOf = (stale: readonly Dim[]): unknown =>
      runPasses(staleModel(['n', 's'], stale, false), [inferShapes]).graph.valueInfo.get('hidden');
    expect(shapeOf(['n', 's', 7])).toEqual(value('hidden', 'float32', ['n', 's', OUT]));
    expect(shapeOf([OUT])).toEqual(value('hidden', 'float32', ['n', 's', OUT]));
    expect(shapeOf(['batch', 4, OUT])).toEqual(value('hidden', 'float32', ['batch', 4, OUT]));
  });
});
