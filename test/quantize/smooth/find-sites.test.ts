import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.ts';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { applySmoothing } from '../../../src/quantize/smooth/apply-smoothing.ts';
import { findSmoothingSites } from '../../../src/quantize/smooth/find-sites.ts';
import {
  encodeScales,
  type PlannedSmoothing,
} from '../../../src/quantize/smooth/planned-smoothing.ts';
import { findLinears } from '../../../src/structure/find-linears.ts';
import { floats, node, noise } from '../../kit/models.ts';
import { runModel } from '../../kit/run-model.ts';
import {
  blockModel,
  gatedFfn,
  groupedAttention,
  HIDDEN,
  ints,
  normedProduct,
  type Parts,
  packedFfn,
  plainFfn,
  vector,
  WIDTH,
} from './tiny-blocks.ts';

const SCALES = [2, 0.5, 4, 1, 8, 0.25];

function declinedIn(model: Model): readonly string[] {
  const declined: string[] = [];
  const decline = (entry: { node: string; reason: string }): void => {
    declined.push(`${entry.node}: ${entry.reason}`);
  };
  findSmoothingSites(model, { decline });
  return declined;
}

function everySite(model: Model, all: readonly number[] = SCALES): PlannedSmoothing {
  const sites = findSmoothingSites(model).map(({ name, kind, into, layers, channels }) => ({
    name,
    kind,
    into,
    purpose: 'activations' as const,
    alpha: 0.5,
    layers: layers.map((layer) => layer.name),
    scales: encodeScales(Float32Array.from(all.slice(0, channels))),
  }));
  return { sites, declined: [] };
}

/** The weight is stored [out, in]. */
function transposedProduct(): Parts {
  const { nodes, initializers } = normedProduct();
  return {
    nodes: [nodes[0]!, node('Transpose', ['w_stored'], 'w'), node('MatMul', ['normed', 'w'], 'y')],
    initializers: [
      ...initializers.filter(({ name }) => name !== 'w'),
      floats('w_stored', [HIDDEN, WIDTH], noise(3, HIDDEN * WIDTH)),
    ],
  };
}

async function numbers(model: Model, name: string): Promise<readonly number[]> {
  const bytes = await readTensorBytes(model.graph.initializers.get(name)!);
  return [...new Float32Array(bytes.buffer)];
}

async function outputOf(model: Model): Promise<Float32Array> {
  const x = new OrtTensor('float32', noise(5, 3 * WIDTH), [1, 3, WIDTH]);
  return (await runModel(model, [{ x }])).outputs.get('y')!;
}

/** Exact: a product with a power of two rounds nothing. */
async function expectSameFunction(model: Model): Promise<Model> {
  const folded = applySmoothing(model, everySite(model));
  expect(folded.graph.nodes).toHaveLength(model.graph.nodes.length);
  const expected = await outputOf(model);
  expect(await outputOf(folded)).toEqual(expected);
  const multiplied = applySmoothing(model, everySite(model), 'in-graph');
  expect(await outputOf(multiplied)).toEqual(expected);
  return folded;
}

describe('weights that are multiplied in the graph', () => {
  it.each([
    ['a product behind a norm', normedProduct()],
    ['a gated FFN', gatedFfn()],
    ['a packed FFN', packedFfn()],
    ['values of grouped heads', groupedAttention()],
    ['a weight that is transposed', transposedProduct()],
  ])('stay as they are and give the bits of stored ones: %s', async (_, parts) => {
    const model = blockModel(parts);
    // No powers of two: every product rounds.
    const smoothing = everySite(model, [1.7, 0.3, 5.9, 1.1, 7.3, 0.21]);
    expect(smoothing.sites.length).toBeGreaterThan(0);
    const multiplied = applySmoothing(model, smoothing, 'in-graph');
    expect(multiplied.graph.nodes.length).toBeGreaterThan(model.graph.nodes.length);
    for (const { weight } of findLinears(model)) {
      expect(multiplied.graph.initializers.get(weight.initializer)).toBe(weight.tensor);
    }
    const stored = await outputOf(applySmoothing(model, smoothing));
    expect(await outputOf(multiplied)).toEqual(stored);
    expect(stored).not.toEqual(await outputOf(model));
  });
});

describe('a norm', () => {
  it('divides its weight and bias, and the layer multiplies its input rows', async () => {
    const model = blockModel(normedProduct());
    expect(findSmoothingSites(model)).toMatchObject([{ kind: 'norm', channels: WIDTH }]);
    const folded = await expectSameFunction(model);
    const [gamma, w] = [await numbers(model, 'gamma'), await numbers(model, 'w')];
    expect(await numbers(folded, 'gamma_smoothed')).toEqual(gamma.map((g, c) => g / SCALES[c]!));
    expect(await numbers(folded, 'w')).toEqual(
      w.map((value, index) => value * SCALES[Math.floor(index / HIDDEN)]!),
    );
    expect(folded.graph.initializers.has('gamma')).toBe(false);
  });

  it.each([
    ['SimplifiedLayerNormalization', ['x', 'gamma']],
    ['RMSNormalization', ['x', 'gamma']],
    ['SkipSimplifiedLayerNormalization', ['x', 'x', 'gamma']],
    ['SkipLayerNormalization', ['x', 'x', 'gamma', 'beta']],
  ])('is folded as %s', (opType, inputs) => {
    const { nodes, initializers } = normedProduct();
    const isSkip = opType.startsWith('Skip');
    const domain = isSkip ? 'com.microsoft' : '';
    const norm = { ...node(opType, inputs, 'normed'), domain };
    const model = blockModel({ nodes: [norm, ...nodes.slice(1)], initializers });
    const folded = applySmoothing(model, everySite(model));
    const read = folded.graph.nodes[0]!.inputs;
    expect(read).toEqual(inputs.map((name) => (name === 'x' ? name : `${name}_smoothed`)));
  });

  it('is folded as single steps', async () => {
    const { nodes, initializers } = normedProduct();
    const steps = [
      node('Pow', ['x', 'two'], 'square'),
      node('ReduceMean', ['square', 'last'], 'mean'),
      node('Add', ['mean', 'epsilon'], 'safe'),
      node('Sqrt', ['safe'], 'root'),
      node('Div', ['x', 'root'], 'unit'),
      node('Mul', ['gamma', 'unit'], 'normed'),
    ];
    await expectSameFunction(
      blockModel({
        nodes: [...steps, ...nodes.slice(1)],
        initializers: [
          ...initializers.filter(({ name }) => name !== 'beta'),
          floats('two', [], [2]),
          floats('epsilon', [], [1e-5]),
          ints('last', [-1]),
        ],
      }),
    );
  });

  it('gets a weight of its own where the constant is shared through Identity', async () => {
    const { nodes, initializers } = normedProduct();
    const [norm, ...rest] = nodes;
    const shared = { ...norm!, inputs: ['x', 'copied', 'beta'] };
    const model = blockModel({
      nodes: [
        node('Identity', ['gamma'], 'copied'),
        shared,
        ...rest.slice(0, -1),
        node('MatMul', ['normed', 'w'], 'product'),
        node('Mul', ['product', 'wide'], 'scaled'),
        node('ReduceSum', ['gamma'], 'total'),
        node('Add', ['scaled', 'total'], 'y'),
      ],
      initializers: [...initializers, vector('wide', HIDDEN)],
    });
    const folded = await expectSameFunction(model);
    expect(await numbers(folded, 'gamma')).toEqual(await numbers(model, 'gamma'));
  });

  it('is declined where something else reads it, naming the reader', () => {
    const tapped = normedProduct([node('Neg', ['normed'], 'tap')]);
    expect(declinedIn(blockModel(tapped, ['tap']))).toEqual(['/tap/Neg: Neg reads normed too']);
  });

  it('is declined where the caller of the model reads it', () => {
    expect(declinedIn(blockModel(normedProduct(), ['normed']))).toEqual([
      'normed: normed is an output of the model',
    ]);
  });

  it('is declined where the layer shares its weight', () => {
    const tied = normedProduct([node('Transpose', ['w'], 'other', { perm: [1n, 0n] })]);
    expect(declinedIn(blockModel(tied, ['other']))).toEqual(['y: weight w is shared by 2 nodes']);
  });

  it('is declined where it has no constant weight', () => {
    const { nodes, initializers } = normedProduct();
    const computed = [node('Neg', ['gamma'], 'minus'), node('Abs', ['minus'], 'positive')];
    const norm = { ...nodes[0]!, inputs: ['x', 'positive', 'beta'] };
    expect(declinedIn(blockModel({ nodes: [...computed, norm, nodes[1]!], initializers }))).toEqual(
      ['/normed/LayerNormalization: the norm has no constant weight'],
    );
  });
});

describe('the input of a down projection', () => {
  it('scales the columns and the bias of the up projection', async () => {
    const model = blockModel(gatedFfn());
    const folded = await expectSameFunction(model);
    const [up, down] = [await numbers(model, 'up_w'), await numbers(model, 'down_w')];
    const scaled = up.map((value, index) => value / SCALES[index % HIDDEN]!);
    expect(await numbers(folded, 'up_w')).toEqual(scaled);
    expect(await numbers(folded, 'down_w')).toEqual(
      down.map((value, index) => value * SCALES[Math.floor(index / WIDTH)]!),
    );
    expect(await numbers(folded, 'gate_w')).toEqual(await numbers(model, 'gate_w'));
  });

  it('scales the up half alone of a packed projection and its bias', async () => {
    const model = blockModel(packedFfn());
    const folded = await expectSameFunction(model);
    const [before, after] = [
      await numbers(model, 'both_b'),
      await numbers(folded, 'both_b_smoothed'),
    ];
    expect(after.slice(0, HIDDEN)).toEqual(before.slice(0, HIDDEN));
    expect(after.slice(HIDDEN)).toEqual(before.slice(HIDDEN).map((b, c) => b / SCALES[c]!));
  });

  it('passes ReLU, which is linear for positive scales', async () => {
    await expectSameFunction(blockModel(plainFfn('Relu')));
  });

  it('is declined behind GELU', () => {
    expect(declinedIn(blockModel(plainFfn('Gelu')))).toEqual([
      '/hidden/Gelu: a scale does not pass gelu',
    ]);
  });

  it('is declined where a node that is not linear lies between', () => {
    const clipped = gatedFfn([node('Tanh', ['up'], 'upped')]);
    // Such a network is not recognised as gated at all, so nothing is offered either.
    expect(findSmoothingSites(blockModel(clipped))).toEqual([]);
  });

  it('is declined where the product, or the up projection, is read elsewhere', () => {
    expect(declinedIn(blockModel(gatedFfn(), ['hidden']))).toEqual([
      'down: hidden is an output of the model',
    ]);
    expect(declinedIn(blockModel(gatedFfn(), ['up']))).toEqual([
      '/hidden/Mul: up is an output of the model',
    ]);
  });
});

describe('the input of an output projection', () => {
  it.each([
    ['interleaved' as const, [0, 1, 0, 1, 2, 3, 2, 3]],
    ['tiled' as const, [0, 1, 2, 3, 0, 1, 2, 3]],
  ])('shares the scales of a KV head between its query heads, %s', async (repeat, scaleOf) => {
    const model = blockModel(groupedAttention(repeat));
    const site = findSmoothingSites(model).find(({ kind }) => kind === 'value');
    expect(site).toMatchObject({ channels: 4, scaleOf: Int32Array.from(scaleOf) });
    const folded = await expectSameFunction(model);
    const [v, o] = [await numbers(model, 'v_w'), await numbers(model, 'o_w')];
    expect(await numbers(folded, 'v_w')).toEqual(v.map((value, i) => value / SCALES[i % 4]!));
    expect(await numbers(folded, 'o_w')).toEqual(
      o.map((value, i) => value * SCALES[scaleOf[Math.floor(i / WIDTH)]!]!),
    );
  });

  it('is declined where the values go to a KV cache', () => {
    expect(declinedIn(blockModel(groupedAttention(), ['v_heads']))).toEqual([
      '/v_one/Unsqueeze: v_heads is an output of the model',
    ]);
  });
});
