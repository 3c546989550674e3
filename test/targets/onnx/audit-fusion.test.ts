import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { builtInRecipe, parseRecipe } from '../../../src/recipe/load.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../../src/targets/onnx/audit-fusion.ts';
import { ONNXRUNTIME_LOWERING } from '../../../src/targets/onnx/lowering.ts';
import { floats, IN, linearModel, model, node, noise, ranges, value } from '../../kit/models.ts';
import { runModel } from '../../kit/run-model.ts';

const recipe = parseRecipe('{ name: all, head: w8a8 }', 'test');
const feed = { x: new OrtTensor('float32', noise(1, 2 * IN), [2, IN]) };

describe('auditFusion', () => {
  it('finds a layer that stayed a float product, and says how it ran', async () => {
    const source = linearModel({ op: 'MatMul', rank: 2, bias: true });
    const plan = planQuantization(source, recipe, ranges({ x: [-1, 1] }));
    // The TensorRT shape of graph is one that onnxruntime does not fuse for inputs of rank 2.
    const lowering = { ...ONNXRUNTIME_LOWERING, shapedFor: 'tensorrt' } as const;
    const { optimized } = await runModel(applyQuantization(source, plan, { lowering }), [feed]);
    const audit = auditFusion(optimized, plan);
    expect(audit).toMatchObject({ planned: 1, fused: 0, kernels: {} });
    expect(audit.unfused[0]).toMatchObject({
      layer: plan.layers[0]!.name,
      ranAs: 'Gemm',
      reason: 'ran as a float Gemm: the weight is widened in every run',
    });
  });

  it('finds int8 activations that several layers share, which onnxruntime 1.30 does not fuse', async () => {
    const shape = ['n', 's', IN];
    const source = model({
      nodes: [
        node('MatMul', ['x', 'q'], 'a'),
        node('MatMul', ['x', 'k'], 'b'),
        node('Sub', ['a', 'b'], 'y'),
      ],
      initializers: ['q', 'k'].map((name, seed) => floats(name, [IN, IN], noise(seed, IN * IN))),
      inputs: [value('x', 'float32', shape)],
      outputs: [value('y', 'float32', shape)],
    });
    const plan = planQuantization(source, recipe, ranges({ x: [-1, 1] }));
    const three = { x: new OrtTensor('float32', noise(1, 2 * IN), [1, 2, IN]) };
    const signed = {
      ...ONNXRUNTIME_LOWERING,
      activationType: 'int8',
      symmetric: true,
    } as const;
    const int8 = await runModel(applyQuantization(source, plan, { lowering: signed }), [three]);
    expect(auditFusion(int8.optimized, plan).fused).toBe(0);
    const uint8 = await runModel(applyQuantization(source, plan), [three]);
    expect(auditFusion(uint8.optimized, plan).fused).toBe(2);
  });

  it('reports a layer whose node is gone', () => {
    const source = linearModel({ op: 'MatMul', rank: 3 });
    const plan = planQuantization(source, recipe, ranges({ x: [-1, 1] }));
    const audit = auditFusion({ ...source, graph: { ...source.graph, nodes: [] } }, plan);
    expect(audit.unfused[0]!.reason).toMatch(/another fusion took it/);
    expect(audit.unfused[0]!.ranAs).toBeUndefined();
  });

  it('expects nothing of layers that the lowering left float', () => {
    const source = linearModel({ op: 'MatMul', rank: 3 });
    const plan = planQuantization(source, builtInRecipe('w8a16'), new Map());
    expect(auditFusion(source, plan, () => 'left float').planned).toBe(0);
    expect(auditFusion(source, plan).planned).toBe(1);
  });
});
