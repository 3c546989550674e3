import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { mapSubgraphs } from '../../src/passes/map-subgraphs.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import type { ActivationRanges } from '../../src/quantize/quantization-plan.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import type { Recipe } from '../../src/recipe/recipe.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { integerLayers, TENSORRT_LOWERING, whyLeftFloat } from '../../src/targets/onnx/lowering.ts';
import { tensorrtWriter } from '../../src/targets/tensorrt/writer.ts';
import { node, noise, ranges, value } from '../kit/models.ts';
import { cosine, type Feeds, runModel } from '../kit/run-model.ts';
import { looped, merged, nested, weight } from './body-models.ts';

const WIDTH = 64;
const W8A8 = builtInRecipe('w8a8');
const W4A16 = builtInRecipe('w4a16-g32');
const RECIPES: Readonly<Record<string, Recipe>> = {
  w8a8: W8A8,
  'w8a8-dynamic': builtInRecipe('w8a8-dynamic'),
  w8a16: builtInRecipe('w8a16'),
  'w8a16 by channel': {
    ...builtInRecipe('w8a16'),
    weights: { bits: 8, granularity: 'channel', symmetric: true },
  },
  w4a16: { ...W4A16, weights: { ...W4A16.weights, rounding: 'rtn' } },
};

/** Of every input of a layer of {@link merged}, with the range that uniform values in [-1, 1) give it. */
const RANGES: ActivationRanges = ranges({
  x: [-1, 1],
  entered: [-2.5, 2.5],
  entered_1: [-1, 1],
  active: [0, 2],
  active_1: [0, 2],
  bounded: [-1, 1],
});

function mergedFeeds(usesCache: boolean): Feeds {
  return {
    x: new OrtTensor('float32', noise(1, 5 * WIDTH), [1, 5, WIDTH]),
    past: new OrtTensor('float32', noise(2, WIDTH), [1, 1, WIDTH]),
    use_cache: new OrtTensor('bool', Uint8Array.of(Number(usesCache)), [1]),
  };
}

/** Cosine of `y` of two models; 4-bit weights of noise leave some 0.99, 8 bits 0.9999. */
async function likeness(artifact: Model, source: Model, feeds: Feeds): Promise<number> {
  const [a, b] = [await runModel(artifact, [feeds]), await runModel(source, [feeds])];
  return cosine(a.outputs.get('y')!, b.outputs.get('y')!);
}

describe('layers in the branches of an If', () => {
  describe.each(Object.entries(RECIPES))('%s', (name, recipe) => {
    const source = merged();
    const plan = planQuantization(source, recipe, RANGES);
    const artifact = applyQuantization(source, plan);

    it('are quantized, and the plan says where they lie', () => {
      expect(plan.layers.map(({ scheme }) => scheme)).not.toContain('float');
      expect(plan.layers.map(({ body }) => body)).toEqual([
        ...Array(3).fill('then_branch of If "decoder"'),
        ...Array(3).fill('else_branch of If "decoder"'),
        undefined,
      ]);
    });

    it('all become integer kernels of onnxruntime', async () => {
      const { optimized } = await runModel(artifact, [mergedFeeds(true)]);
      expect(auditFusion(optimized, plan)).toMatchObject({ planned: 7, fused: 7, unfused: [] });
    });

    it.each([false, true])('compute what they did with use_cache %s', async (usesCache) => {
      const least = name === 'w4a16' ? 0.98 : 0.999;
      expect(await likeness(artifact, source, mergedFeeds(usesCache))).toBeGreaterThan(least);
    });

    it('share the bytes of a weight that both branches multiply', () => {
      const sources = [...artifact.graph.initializers.values()];
      const large = sources.filter(({ source }) => source.byteLength >= (WIDTH * WIDTH) / 2);
      // Three weights of the branches and the one behind them, and nothing of them in float.
      expect(large.filter(({ dataType }) => dataType !== 'float32')).toHaveLength(4);
      const isFloatWeight = ({ dataType, dims }: (typeof large)[number]): boolean =>
        dataType === 'float32' && dims[0] === WIDTH && dims[1] === WIDTH;
      expect(large.filter(isFloatWeight)).toEqual([]);
    });
  });

  it('of which no sample took one have the ranges of the other, and say so', () => {
    const seen = new Map([...RANGES].filter(([key]) => !key.endsWith('_1')));
    const plan = planQuantization(merged(), W8A8, seen);
    const borrowed = plan.layers.filter(({ reason }) => reason?.startsWith('range of'));
    expect(borrowed.map(({ name, reason, activation }) => [name, reason, activation?.max])).toEqual(
      [
        ['up#2', 'range of then_branch of If "decoder"', 2.5],
        ['down#2', 'range of then_branch of If "decoder"', 2],
      ],
    );
  });

  it('have a nested If, and a weight of their own, without getting lost', async () => {
    const source = nested();
    const plan = planQuantization(source, builtInRecipe('w8a8-dynamic'), new Map());
    const artifact = applyQuantization(source, plan);
    expect(plan.layers).toMatchObject([{ scheme: 'w8a8-dynamic' }]);
    for (const [flag, deep] of [
      [0, 0],
      [1, 0],
      [1, 1],
    ] as const) {
      const feeds = {
        x: new OrtTensor('float32', noise(3, 4 * WIDTH), [4, WIDTH]),
        flag: new OrtTensor('bool', Uint8Array.of(flag), []),
        deep: new OrtTensor('bool', Uint8Array.of(deep), []),
      };
      expect(await likeness(artifact, source, feeds)).toBeGreaterThan(0.999);
    }
  });

  it('leave a layer of the main graph fused whose output they quantize for themselves', async () => {
    const source = merged();
    const { graph } = source;
    const nodes = [
      node('MatMul', ['x', 'before.weight'], 'entry'),
      ...graph.nodes.map((entry) =>
        mapSubgraphs(entry, (branch) => ({
          ...branch,
          nodes: branch.nodes.map((inner) => ({
            ...inner,
            inputs: inner.inputs.map((name) => (name === 'x' ? 'entry' : name)),
          })),
        })),
      ),
      node('MatMul', ['entry', 'beside.weight'], 'beside'),
    ];
    const added = ['before.weight', 'beside.weight'].map((name) => weight(name, WIDTH, WIDTH));
    const initializers = new Map(graph.initializers);
    for (const tensor of added) initializers.set(tensor.name, tensor);
    const outputs = [...graph.outputs, value('beside', 'float32', ['b', 's', WIDTH])];
    const wider = { ...source, graph: { ...graph, nodes, initializers, outputs } };
    const plan = planQuantization(wider, W8A8, new Map([...RANGES, ...ranges({ entry: [-2, 2] })]));
    const artifact = applyQuantization(wider, plan);
    const { optimized } = await runModel(artifact, [mergedFeeds(true)]);
    expect(plan.layers[0]).toMatchObject({ name: 'entry', scheme: 'w8a8' });
    expect(auditFusion(optimized, plan)).toMatchObject({ planned: 9, fused: 9, unfused: [] });
  });

  it('stay float for TensorRT, whose plan has them', () => {
    const plan = planQuantization(merged(), W8A8, RANGES);
    expect(integerLayers(plan, TENSORRT_LOWERING).map(({ name }) => name)).toEqual([]);
    expect(plan.layers.filter(({ scheme }) => scheme === 'w8a8')).toHaveLength(6);
    expect(plan.layers.map((layer) => whyLeftFloat(layer, TENSORRT_LOWERING))).toEqual([
      ...Array(3).fill('lies in then_branch of If "decoder", where TensorRT has float'),
      ...Array(3).fill('lies in else_branch of If "decoder", where TensorRT has float'),
      'w8a16: TensorRT folds INT8 weights alone back to float',
    ]);
    expect(() =>
      tensorrtWriter.lower({ model: merged(), plan, options: {}, shapes: new Map() }),
    ).toThrow(
      'tensorrt: nothing would be INT8 (got 6 W8A8 layers, all in bodies such as then_branch of If "decoder"',
    );
  });
});

describe('layers in the body of a Loop', () => {
  const feeds = { x: new OrtTensor('float32', noise(4, 4 * WIDTH), [4, WIDTH]) };

  it.each(Object.entries(RECIPES))('are quantized by %s', async (_, recipe) => {
    const source = looped();
    const plan = planQuantization(source, recipe, ranges({ x: [-1, 1] }));
    const artifact = applyQuantization(source, plan);
    const [, inner] = plan.layers;
    expect(inner).toMatchObject({ name: 'stepped', body: 'body of Loop "/y/Loop"' });
    expect(inner!.scheme).not.toBe('float');
    expect(await likeness(artifact, source, feeds)).toBeGreaterThan(0.98);
  });

  it('keep float activations in w8a8, because none of theirs was seen', () => {
    const plan = planQuantization(looped(), W8A8, ranges({ x: [-1, 1] }));
    expect(plan.layers[1]).toMatchObject({
      scheme: 'w8a16',
      reason: 'no calibrated range for state',
    });
  });
});

describe('a weight-only layer in a body', () => {
  it('stays float with the reason where no whole blocks fit', () => {
    const source = merged();
    const { graph } = source;
    // 64 features are two blocks of 32, of a table of 72 nine columns are left.
    const wide = (name: string, dims: readonly number[]) => ({
      ...graph.initializers.get(name)!,
      dims,
    });
    const initializers = new Map([
      ...graph.initializers,
      ['up.weight', wide('up.weight', [64, 72])] as const,
      ['down.weight', wide('down.weight', [72, 64])] as const,
    ]);
    const plan = planQuantization(
      { ...source, graph: { ...graph, initializers } },
      builtInRecipe('w8a16'),
      new Map(),
    );
    expect(plan.layers.filter(({ scheme }) => scheme === 'float')).toMatchObject([
      {
        name: 'down',
        reason: 'lies in then_branch of If "decoder", where weights alone take blocks of 32',
      },
      { name: 'down#2' },
    ]);
  });
});
