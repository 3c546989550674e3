/** Values at the edge: nothing at all, zeros, what is not finite, types that hold more or less. */
import { expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { value } from '../kit/models.ts';
import { buildGraph, bytesOf, finishModel } from './graph-builder.ts';
import { normalSamples, quantizeSituation, type Samples } from './quantize-situation.ts';

const WIDTH = 48;
const calibration = { x: normalSamples([12, 8, WIDTH], 1) };
const heldOut = { x: normalSamples([6, 8, WIDTH], 2) };
const ends = {
  inputs: [value('x', 'float32', ['batch', 'sequence', WIDTH])],
  outputs: [value('y', 'float32', ['batch', 'sequence', WIDTH])],
};
const USUAL_DB = 30;

it('a tensor of no elements and a product of no columns are carried along', async () => {
  const graph = buildGraph();
  const empty = graph.constant('empty', [1, 0, WIDTH], []);
  const x = graph.op('Concat', ['x', empty], { literals: { axis: 1n } });
  const hidden = graph.op('Relu', [graph.linear(x, WIDTH, 80, 'up')]);
  const down = graph.linear(hidden, 80, WIDTH, 'down');
  const none = graph.op('MatMul', [x, graph.constant('none.weight', [WIDTH, 0], [])]);
  graph.op('Concat', [down, none], { literals: { axis: 2n }, output: 'y' });
  const { sqnr } = await quantizeSituation(finishModel(graph, ends), calibration, heldOut);
  expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
});

it('channels of zeros get a scale, and no output is NaN', async () => {
  const graph = buildGraph();
  const zeroed = (name: string, dims: readonly [number, number], every: number) => {
    graph.weight(name, dims, dims[0] ** -0.5);
    const { source } = graph.initializers.pop()!;
    const values = new Float32Array(source.bytes!.slice().buffer);
    return graph.constant(
      name,
      dims,
      [...values].map((x, index) => ((index % dims[1]) % every === 0 ? 0 : x)),
    );
  };
  const up = zeroed('up.weight', [WIDTH, 80], 4);
  const down = zeroed('down.weight', [80, WIDTH], 5);
  const hidden = graph.op('Relu', [graph.op('MatMul', ['x', up])]);
  graph.op('MatMul', [hidden, down], { output: 'y' });
  const { sqnr } = await quantizeSituation(finishModel(graph, ends), calibration, heldOut);
  expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
});

it('outputs of every kind come out: integers, bools, a scalar, none at all', async () => {
  const graph = buildGraph();
  const hidden = graph.op('Relu', [graph.linear('x', WIDTH, 80, 'up')]);
  const y = graph.linear(hidden, 80, WIDTH, 'down');
  graph.op('Identity', [y], { output: 'y' });
  graph.op('ArgMax', [y], { literals: { axis: -1n, keepdims: 0n }, output: 'label' });
  graph.op('ReduceMax', [y], { literals: { keepdims: 0n }, output: 'score' });
  graph.op('Greater', [y, graph.constant('zero', [], [0])], { output: 'flags' });
  const zeros = graph.integers('zeros', [1], [0]);
  graph.op('Slice', [y, zeros, zeros, graph.integers('axis', [1], [1])], { output: 'none' });
  const model = finishModel(graph, {
    ...ends,
    outputs: [
      ...ends.outputs,
      value('label', 'int64', ['batch', 'sequence']),
      value('score', 'float32', []),
      value('flags', 'bool', ['batch', 'sequence', WIDTH]),
      value('none', 'float32', ['batch', 0, WIDTH]),
    ],
  });
  const { sqnr, artifact } = await quantizeSituation(model, calibration, heldOut);
  expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
  expect(sqnr.get('score')).toBeGreaterThan(20);
  expect(sqnr.get('none')).toBe(Infinity);
  expect(artifact.graph.outputs).toEqual(model.graph.outputs);
});

it('NaN and infinity in calibration are counted aloud and left out of ranges', async () => {
  const graph = buildGraph();
  const grown = graph.op('Exp', ['x']);
  const up = graph.linear(grown, WIDTH, 80, 'up');
  const bounded = graph.op('Clip', [
    up,
    graph.constant('low', [], [0]),
    graph.constant('high', [], [40]),
  ]);
  graph.op('Identity', [graph.linear(bounded, 80, WIDTH, 'down')], { output: 'y' });
  const { values } = calibration.x;
  const broken: Samples = {
    ...calibration.x,
    // exp(130) is infinite in float32.
    values: values.map((x, index) =>
      index === 4 * 8 * WIDTH ? 130 : index === 99 ? Number.NaN : x,
    ),
  };
  const { sqnr, warnings } = await quantizeSituation(
    finishModel(graph, ends),
    { x: broken },
    heldOut,
  );
  expect(warnings.join('\n')).toMatch(/NaN|infinit|not finite/i);
  expect(sqnr.get('y')).toBeGreaterThan(25);
});

it.each([
  ['infinity', Infinity],
  ['NaN', Number.NaN],
] as const)('%s in a weight is refused with tensor and column', async (kind, bad) => {
  const graph = buildGraph();
  const values = Array.from({ length: WIDTH * 80 }, (_, index) =>
    index === 5 * 80 + 77 ? bad : 0.1,
  );
  const up = graph.constant('up.weight', [WIDTH, 80], values);
  const cut = graph.op('Slice', [
    graph.op('MatMul', ['x', up]),
    graph.integers('from', [1], [0]),
    graph.integers('to', [1], [64]),
    graph.integers('axis', [1], [2]),
  ]);
  graph.op('Identity', [graph.linear(cut, 64, WIDTH, 'down')], { output: 'y' });
  const refused = quantizeSituation(finishModel(graph, ends), calibration, heldOut);
  await expect(refused).rejects.toThrow(UnsupportedError);
  await expect(refused).rejects.toThrow(`up.weight: the weight holds ${kind} in column 77`);
});

it('bfloat16 weights behind Casts are quantized', async () => {
  const graph = buildGraph();
  const narrow = (name: string, dims: readonly number[], deviation: number) => {
    graph.weight(name, dims, deviation);
    const { source } = graph.initializers.pop()!;
    const wide = new Uint32Array(source.bytes!.slice().buffer);
    const halves = Uint16Array.from(wide, (bits) => bits >>> 16);
    graph.initializers.push(inlineTensor(name, 'bfloat16', dims, bytesOf(halves)));
    return graph.op('Cast', [name], { literals: { to: 1n } });
  };
  const layer = (x: string, k: number, n: number, name: string) =>
    graph.op('Add', [
      graph.op('MatMul', [x, narrow(`${name}.weight`, [k, n], k ** -0.5)], { name }),
      narrow(`${name}.bias`, [n], 0.1),
    ]);
  const hidden = graph.op('Relu', [layer('x', WIDTH, 80, 'up')]);
  graph.op('Identity', [layer(hidden, 80, WIDTH, 'down')], { output: 'y' });
  const { outcome, sqnr } = await quantizeSituation(finishModel(graph, ends), calibration, heldOut);
  expect(outcome.plan.layers.map(({ scheme }) => scheme)).not.toContain('float');
  expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
});

it('float64 is refused in one sentence', async () => {
  const graph = buildGraph();
  const doubles = Float64Array.from({ length: WIDTH * WIDTH }, (_, index) => Math.sin(index) / 7);
  graph.initializers.push(inlineTensor('w', 'float64', [WIDTH, WIDTH], bytesOf(doubles)));
  graph.op('MatMul', ['x', 'w'], { output: 'y' });
  const model = finishModel(graph, {
    inputs: [value('x', 'float64', ['batch', 'sequence', WIDTH])],
    outputs: [value('y', 'float64', ['batch', 'sequence', WIDTH])],
  });
  const data = { x: normalSamples([12, 8, WIDTH], 1, 'float64') };
  await expect(quantizeSituation(model, data, data)).rejects.toThrow(UnsupportedError);
  await expect(quantizeSituation(model, data, data)).rejects.toThrow(/float64/);
});
