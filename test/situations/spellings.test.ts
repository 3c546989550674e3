/** The same layers as exporters spell them: every form is quantized, or left float with the reason. */
import { describe, expect, it } from 'vitest';
import { value } from '../kit/models.ts';
import { buildGraph, finishModel } from './graph-builder.ts';
import { normalSamples, quantizeSituation } from './quantize-situation.ts';

const WIDTH = 48;
const calibration = { x: normalSamples([12, 8, WIDTH], 1) };
const heldOut = { x: normalSamples([6, 8, WIDTH], 2) };
const ends = {
  inputs: [value('x', 'float32', ['batch', 'sequence', WIDTH])],
  outputs: [value('y', 'float32', ['batch', 'sequence', WIDTH])],
};

/** Weights and activations of 8 bits lose this much in a few layers of normal values. */
const USUAL_DB = 30;

describe('Gemm', () => {
  it('is quantized with any C, turned or not, and left float with the reason for alpha and beta', async () => {
    const graph = buildGraph();
    const sizes = [WIDTH, 80, 64, 56, 40, 40, 32];
    const forms: readonly {
      transB: bigint;
      bias?: readonly number[];
      literals?: Readonly<Record<string, number>>;
    }[] = [
      { transB: 1n, bias: [80] },
      { transB: 0n, bias: [] },
      { transB: 1n, bias: [1, 56] },
      { transB: 1n, bias: [40], literals: { alpha: 0.5 } },
      { transB: 0n, bias: [40], literals: { beta: 2 } },
      { transB: 1n, bias: [1] },
    ];
    let x = 'x';
    forms.forEach(({ transB, bias, literals }, index) => {
      const [k, n] = [sizes[index]!, sizes[index + 1]!];
      const dims = transB === 1n ? [n, k] : [k, n];
      const inputs = [x, graph.weight(`w${index}`, dims, k ** -0.5)];
      if (bias !== undefined) inputs.push(graph.weight(`b${index}`, bias, 0.3));
      const product = graph.op('Gemm', inputs, {
        name: `gemm${index}`,
        literals: { transB, ...literals },
      });
      x = graph.op(index + 1 < forms.length ? 'Relu' : 'Identity', [product], {
        ...(index + 1 === forms.length && { output: 'y' }),
      });
    });
    const model = finishModel(graph, {
      inputs: [value('x', 'float32', ['batch', WIDTH])],
      outputs: [value('y', 'float32', ['batch', 32])],
    });
    const rows = (seed: number) => ({ x: normalSamples([40, WIDTH], seed) });
    const { outcome, sqnr } = await quantizeSituation(model, rows(1), rows(2));
    const reasons = outcome.plan.layers.map(({ scheme, reason }) => reason ?? scheme);
    expect(reasons.slice(0, 5)).toEqual([
      'w8a8',
      'w8a8',
      'w8a8',
      'Gemm has alpha',
      'Gemm has beta',
    ]);
    expect(outcome.fusion?.unfused).toEqual([]);
    expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
  });
});

describe('A bias', () => {
  it('may have any shape, stand on the left, be shared, be an output, or follow a product read twice', async () => {
    const graph = buildGraph();
    const half = graph.constant('half', [], [0.5]);
    const shared = graph.weight('shared.bias', [WIDTH], 0.3);
    const relu = (x: string) => graph.op('Relu', [x]);
    const layer = (x: string, name: string) => graph.product(x, WIDTH, WIDTH, name);
    let x = relu(graph.op('Add', [layer('x', 'a'), graph.weight('b1', [1, 1, WIDTH])]));
    x = relu(graph.op('Add', [layer(x, 'b'), graph.constant('b2', [], [0.2])]));
    x = relu(graph.op('Add', [graph.weight('b3', [1]), layer(x, 'c')]));
    const twice = layer(x, 'd');
    x = relu(graph.op('Sub', [graph.op('Add', [twice, shared]), graph.op('Mul', [twice, half])]));
    x = graph.op('Add', [layer(x, 'e'), shared]);
    graph.op('Add', [layer(x, 'f'), graph.weight('rows', [8, WIDTH])], { output: 'y' });
    graph.op('Identity', [shared], { output: 'bias' });
    const outputs = [...ends.outputs, value('bias', 'float32', [WIDTH])];
    const model = finishModel(graph, { ...ends, outputs });
    const { outcome, sqnr } = await quantizeSituation(model, calibration, heldOut);
    expect(outcome.fusion).toMatchObject({ planned: 6, fused: 6 });
    expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
    expect(sqnr.get('bias')).toBe(Infinity);
  });
});

describe('Widths that no block divides', () => {
  it.each(['w8a8', 'w8a16', 'w4a16-g32'])(
    'are no obstacle to %s, from rank 1 to rank 4',
    async (recipe) => {
      const graph = buildGraph();
      const axis = graph.integers('axis', [1], [0]);
      let x = graph.op('Relu', [graph.linear('x', WIDTH, 84, 'a')]);
      x = graph.op('Unsqueeze', [x, axis]);
      x = graph.op('Relu', [graph.linear(x, 84, 51, 'rank4')]);
      x = graph.op('Squeeze', [x, axis]);
      x = graph.op('Relu', [graph.linear(x, 51, 19, 'b')]);
      const gate = graph.op('Sigmoid', [graph.op('MatMul', [x, graph.weight('vector', [19])])]);
      x = graph.op('Mul', [x, graph.op('Unsqueeze', [gate, graph.integers('last', [1], [-1])])]);
      x = graph.op('ReduceMean', [x], { literals: { axes: [0n, 1n], keepdims: 0n } });
      graph.op('Identity', [graph.linear(x, 19, 33, 'rank1')], { output: 'y' });
      const model = finishModel(graph, { ...ends, outputs: [value('y', 'float32', [33])] });
      const { outcome, sqnr } = await quantizeSituation(model, calibration, heldOut, { recipe });
      expect(outcome.plan.layers.filter(({ scheme }) => scheme !== 'float')).toHaveLength(4);
      // Four bits have some 20 dB.
      expect(sqnr.get('y')).toBeGreaterThan(recipe === 'w4a16-g32' ? 15 : USUAL_DB);
    },
  );
});

describe('Names', () => {
  it('that a quantizer likes to make may be taken, missing or doubled', async () => {
    const graph = buildGraph();
    for (const name of [
      'up.weight_quantized',
      'up.weight_scale',
      'up.weight_zero_point',
      'x_scale',
      'x_quantized',
      'x_zero_point',
      'x_dequantized',
      'quantized_weight_zero_point_80',
    ]) {
      graph.weight(name, [1], 0.01);
    }
    const taken = graph.op(
      'Sum',
      graph.initializers.map(({ name }) => name),
      { name: '' },
    );
    const up = graph.weight('up.weight', [WIDTH, 80], WIDTH ** -0.5);
    const pre = graph.op('MatMul', ['x', up], { name: 'same', output: 'pre' });
    const post = graph.op('Add', [pre, graph.weight('up.bias', [80])], { name: 'same2' });
    const hidden = graph.op('Relu', [post], { name: '' });
    const down = graph.weight('down.weight', [80, WIDTH], 80 ** -0.5);
    const product = graph.op('MatMul', [hidden, down], { name: '', output: 'product' });
    graph.op('Add', [product, taken], { name: '', output: 'y' });
    const more = [
      value('pre', 'float32', ['batch', 'sequence', 80]),
      value('product', 'float32', ['batch', 'sequence', WIDTH]),
    ];
    const model = finishModel(graph, { ...ends, outputs: [...ends.outputs, ...more] });
    const { sqnr, artifact } = await quantizeSituation(model, calibration, heldOut);
    for (const decibels of sqnr.values()) expect(decibels).toBeGreaterThan(USUAL_DB);
    const names = artifact.graph.nodes.map(({ name }) => name).filter((name) => name !== '');
    expect(new Set(names).size).toBe(names.length);
  });

  it('of weights may stand among the inputs as well, as before IR 4; the inputs go', async () => {
    const graph = buildGraph();
    const hidden = graph.op('Relu', [graph.linear('x', WIDTH, 80, 'up')]);
    graph.op('Identity', [graph.linear(hidden, 80, WIDTH, 'down')], { output: 'y' });
    const weights = graph.initializers.map(({ name, dims }) => value(name, 'float32', dims));
    const model = finishModel(
      graph,
      { ...ends, inputs: [...ends.inputs, ...weights] },
      { ir: 3, opset: 13 },
    );
    const { sqnr, artifact } = await quantizeSituation(model, calibration, heldOut);
    expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
    const inputs = artifact.graph.inputs.map(({ name }) => name);
    expect(inputs).toEqual(['x', 'up.bias', 'down.bias']);
  });
});

describe('Nodes', () => {
  it('may stand back to front, beside a layer that nothing reads and an output left out', async () => {
    const graph = buildGraph();
    const hidden = graph.op('Relu', [graph.linear('x', WIDTH, 80, 'up')]);
    const down = graph.linear(hidden, 80, WIDTH, 'down');
    graph.linear('x', WIDTH, 40, 'unused');
    const dropped = graph.op('Dropout', [down], { outputs: ['dropped', ''] });
    graph.op('Identity', [dropped], { output: 'y' });
    graph.nodes.reverse();
    const { sqnr } = await quantizeSituation(finishModel(graph, ends), calibration, heldOut);
    expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
  });
});
