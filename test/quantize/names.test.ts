import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { findSearchGroups } from '../../src/quantize/search/search-group.ts';
import { makeSwitchable, switchablePlan } from '../../src/quantize/search/switchable-model.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { floats, IN, linearModel, model, node, noise, OUT, ranges, value } from '../kit/models.ts';
import { cosine, runModel } from '../kit/run-model.ts';

const w8a8 = parseRecipe('{ name: all, head: w8a8 }', 'test');
const seen = ranges({ x: [-1, 1] });
const feed = { x: new OrtTensor('float32', noise(7, 6 * IN), [2, 3, IN]) };

/** y = -(x W + b) whose last node has the given name. */
function namedModel(name: string): Model {
  const shape = ['n', 's', OUT];
  return model({
    nodes: [
      node('MatMul', ['x', 'w'], 'product'),
      node('Add', ['product', 'b'], 'sum'),
      { ...node('Neg', ['sum'], 'y'), name },
    ],
    initializers: [floats('w', [IN, OUT], noise(1, IN * OUT)), floats('b', [OUT], noise(2, OUT))],
    inputs: [value('x', 'float32', ['n', 's', IN])],
    outputs: [value('y', 'float32', shape)],
  });
}

function nodeNames(quantized: Model): string[] {
  return quantized.graph.nodes.map(({ name }) => name);
}

describe('names of what quantization adds', () => {
  const taken = ['x_quantized_node', 'x_dequantized_node', 'w_dequantized_node'];
  it.each(taken)('leaves a node of the source that is called %s its name', async (name) => {
    const source = namedModel(name);
    const plan = planQuantization(source, w8a8, seen);
    const quantized = applyQuantization(source, plan);
    const names = nodeNames(quantized);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain(name);
    const { outputs } = await runModel(quantized, [feed]);
    const float = await runModel(source, [feed]);
    // 8 bits of weights and activations each keep a random layer above 0.999.
    expect(cosine(outputs.get('y')!, float.outputs.get('y')!)).toBeGreaterThan(0.999);
  });

  it('does not call a value like a type that is declared for a value that is gone', async () => {
    const source = namedModel('last');
    const stale = value('x_quantized', 'float32', ['n', 's', IN]);
    const graph = { ...source.graph, valueInfo: new Map([[stale.name, stale]]) };
    const quantized = applyQuantization(
      { ...source, graph },
      planQuantization({ ...source, graph }, w8a8, seen),
    );
    expect((await runModel(quantized, [feed])).outputs.get('y')).toHaveLength(6 * OUT);
  });

  it('gives a product without a name one that no other node has, and the audit finds it', async () => {
    const { graph, ...rest } = linearModel({ op: 'MatMul', rank: 3, bias: true });
    const nodes = graph.nodes.map((entry) => ({
      ...entry,
      name: entry.opType === 'MatMul' ? '' : 'w',
    }));
    const source = { ...rest, graph: { ...graph, nodes } };
    const plan = planQuantization(source, w8a8, seen);
    expect(plan.layers.map(({ name, node }) => [name, node])).toEqual([['w', 'w_1']]);
    const { optimized } = await runModel(applyQuantization(source, plan), [feed]);
    expect(auditFusion(optimized, plan).fused).toBe(1);
  });

  it('makes a switchable model beside a node that has the name of a switch', async () => {
    const source = namedModel('autoglm_switch_0_node');
    const plan = planQuantization(source, w8a8, seen);
    const groups = findSearchGroups(source, plan);
    const quantized = applyQuantization(source, switchablePlan(source, plan, groups));
    const { model: switchable, switches } = makeSwitchable(quantized, plan, groups);
    const names = nodeNames(switchable);
    expect(new Set(names).size).toBe(names.length);
    const on = new OrtTensor('bool', Uint8Array.of(1), [1]);
    const { outputs } = await runModel(switchable, [{ ...feed, [switches]: on }]);
    expect(outputs.get('y')).toHaveLength(6 * OUT);
  });
});
