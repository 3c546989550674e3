import { join } from 'node:path';
/** Models that are no plain decoder: fused by onnxruntime, cross attention, experts, recurrence, half quantized. */
import { expect, it } from 'vitest';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { floats, value } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { buildGraph, bytesOf, finishModel } from './graph-builder.ts';
import {
  idSamples,
  normalSamples,
  quantizeSituation,
  type Samples,
  writeSituation,
} from './quantize-situation.ts';

const USUAL_DB = 30;
const ones = (dims: readonly number[], dataType: 'int32' | 'int64'): Samples => ({
  dataType,
  dims,
  values: Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => 1),
});

it('what the transformer optimizer of onnxruntime leaves of a BERT is quantized around its own operators', async () => {
  const [vocabulary, width, inner] = [150, 48, 96];
  const graph = buildGraph();
  const domain = 'com.microsoft';
  const norm = (name: string) => [
    graph.constant(
      `${name}.g`,
      [width],
      Array.from({ length: width }, () => 1),
    ),
    graph.constant(
      `${name}.b`,
      [width],
      Array.from({ length: width }, () => 0),
    ),
  ];
  graph.op(
    'EmbedLayerNormalization',
    [
      'input_ids',
      'token_type_ids',
      graph.weight('word.weight', [vocabulary, width]),
      graph.weight('position.weight', [32, width], 0.3),
      graph.weight('type.weight', [2, width], 0.3),
      ...norm('embed'),
      'attention_mask',
    ],
    { outputs: ['x0', 'mask_index'], domain },
  );
  let x = 'x0';
  for (const layer of ['layer.0', 'layer.1']) {
    const attended = graph.op(
      'Attention',
      [
        x,
        graph.weight(`${layer}.qkv.weight`, [width, 3 * width], 0.12),
        graph.weight(`${layer}.qkv.bias`, [3 * width], 0.1),
        'mask_index',
      ],
      { domain, literals: { num_heads: 4n } },
    );
    const skip = (name: string, a: string, b: string) =>
      graph.op(
        'SkipLayerNormalization',
        [a, b, ...norm(name), graph.weight(`${name}.bias`, [width], 0.1)],
        { domain },
      );
    x = skip(`${layer}.attention`, graph.product(attended, width, width, `${layer}.out`), x);
    const up = graph.op(
      'BiasGelu',
      [
        graph.product(x, width, inner, `${layer}.up`),
        graph.weight(`${layer}.up.bias`, [inner], 0.1),
      ],
      { domain },
    );
    x = skip(`${layer}.ffn`, graph.product(up, inner, width, `${layer}.down`), x);
  }
  graph.op('Identity', [x], { output: 'last_hidden_state' });
  const model = finishModel(
    graph,
    {
      inputs: ['input_ids', 'attention_mask', 'token_type_ids'].map((name) =>
        value(name, 'int32', ['batch', 'sequence']),
      ),
      outputs: [value('last_hidden_state', 'float32', ['batch', 'sequence', width])],
    },
    { opset: 14, domains: [domain] },
  );
  const samples = (seed: number) => ({
    input_ids: idSamples([8, 20], seed, vocabulary, 'int32'),
    attention_mask: ones([8, 20], 'int32'),
    token_type_ids: { ...ones([8, 20], 'int32'), values: Array.from({ length: 160 }, () => 0) },
  });
  const { outcome, sqnr } = await quantizeSituation(model, samples(1), samples(2));
  expect(outcome.fusion).toMatchObject({ planned: 6, fused: 6 });
  expect(sqnr.get('last_hidden_state')).toBeGreaterThan(USUAL_DB);
});

it('a decoder with cross attention is quantized on arrays, and refused on text, which cannot feed it', async () => {
  const [vocabulary, width] = [150, 48];
  const graph = buildGraph();
  const x = graph.op('Gather', [
    graph.weight('decoder.embed_tokens.weight', [vocabulary, width]),
    'input_ids',
  ]);
  const from = 'encoder_hidden_states';
  const [q, k, v] = [
    graph.linear(x, width, width, 'q'),
    graph.linear(from, width, width, 'k'),
    graph.linear(from, width, width, 'v'),
  ];
  const mask = graph.op('Unsqueeze', [
    graph.op('Cast', ['encoder_attention_mask'], { literals: { to: 1n } }),
    graph.integers('axis', [1], [1]),
  ]);
  const blocked = graph.op('Mul', [
    graph.op('Sub', [graph.constant('one', [], [1]), mask]),
    graph.constant('never', [], [-1e9]),
  ]);
  const scores = graph.op('Mul', [
    graph.op('MatMul', [q, graph.op('Transpose', [k], { literals: { perm: [0n, 2n, 1n] } })]),
    graph.constant('scale', [], [width ** -0.5]),
  ]);
  const weights = graph.op('Softmax', [graph.op('Add', [scores, blocked])], {
    literals: { axis: -1n },
  });
  const attended = graph.op('Add', [
    graph.linear(graph.op('MatMul', [weights, v]), width, width, 'o'),
    x,
  ]);
  const y = graph.linear(
    graph.op('Relu', [graph.linear(attended, width, 96, 'fc1')]),
    96,
    width,
    'fc2',
  );
  const logits = graph.product(graph.op('Add', [attended, y]), width, vocabulary, 'lm_head');
  graph.op('Identity', [logits], { output: 'logits' });
  const model = finishModel(graph, {
    inputs: [
      value('input_ids', 'int64', ['batch', 'target']),
      value('encoder_hidden_states', 'float32', ['batch', 'source', width]),
      value('encoder_attention_mask', 'int64', ['batch', 'source']),
    ],
    outputs: [value('logits', 'float32', ['batch', 'target', vocabulary])],
  });
  const samples = (seed: number) => ({
    input_ids: idSamples([8, 9], seed, vocabulary),
    encoder_hidden_states: normalSamples([8, 14, width], seed + 1),
    encoder_attention_mask: {
      ...ones([8, 14], 'int64'),
      values: Array.from({ length: 8 * 14 }, (_, index) => (index % 14 < 5 + (index >> 4) ? 1 : 0)),
    },
  });
  const { sqnr } = await quantizeSituation(model, samples(1), samples(11));
  expect(sqnr.get('logits')).toBeGreaterThan(25);
  const files = await writeSituation(model, samples(1), samples(11));
  const text = join(root, 'calibration/text');
  const refused = quantize(
    { ...files, data: text, output: `${files.folder}/text` },
    listeningReporter(),
  );
  await expect(refused).rejects.toThrow(/encoder_hidden_states/);
});

it('experts that some samples give no token are quantized on those that do', async () => {
  const [width, inner, experts] = [48, 96, 3];
  const graph = buildGraph();
  const flat = graph.op('Reshape', ['x', graph.integers('rows', [2], [-1, width])]);
  const router = graph.product(flat, width, experts, 'router');
  const chosen = graph.op('ArgMax', [router], { literals: { axis: -1n, keepdims: 0n } });
  let sum = graph.op('Mul', [flat, graph.constant('nothing', [], [0])]);
  for (let expert = 0; expert < experts; expert++) {
    const isHere = graph.op('Equal', [chosen, graph.integers(`expert_${expert}`, [], [expert])]);
    const indices = graph.op('Transpose', [graph.op('NonZero', [isHere])], {
      literals: { perm: [1n, 0n] },
    });
    const tokens = graph.op('GatherND', [flat, indices]);
    const up = graph.op('Relu', [graph.linear(tokens, width, inner, `experts.${expert}.up`)]);
    const down = graph.linear(up, inner, width, `experts.${expert}.down`);
    sum = graph.op('ScatterND', [sum, indices, down]);
  }
  const y = graph.op('Add', [flat, sum]);
  graph.op('Reshape', [y, graph.op('Shape', ['x'])], { output: 'y' });
  const model = finishModel(graph, {
    inputs: [value('x', 'float32', ['batch', 'sequence', width])],
    outputs: [value('y', 'float32', ['batch', 'sequence', width])],
  });
  const samples = (seed: number) => ({ x: normalSamples([16, 3, width], seed) });
  const { outcome, sqnr } = await quantizeSituation(model, samples(1), samples(2));
  const schemes = outcome.plan.layers
    .filter(({ name }) => name.includes('experts'))
    .map(({ scheme }) => scheme);
  expect(schemes).toEqual(schemes.map(() => 'w8a8'));
  expect(schemes).toHaveLength(2 * experts);
  expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
});

it('an LSTM and a pointwise Conv stay float beside the layer that is quantized', async () => {
  const [features, hidden] = [24, 48];
  const graph = buildGraph();
  const time = graph.op('Transpose', ['features'], { literals: { perm: [1n, 0n, 2n] } });
  const states = graph.op(
    'LSTM',
    [
      time,
      graph.weight('W', [1, 4 * hidden, features], 0.15),
      graph.weight('R', [1, 4 * hidden, hidden], 0.12),
      graph.weight('B', [1, 8 * hidden], 0.1),
      'lengths',
    ],
    { outputs: ['states', '', ''], literals: { hidden_size: BigInt(hidden) } },
  );
  const flat = graph.op('Squeeze', [states, graph.integers('direction', [1], [1])]);
  const channels = graph.op('Transpose', [flat], { literals: { perm: [1n, 2n, 0n] } });
  const mixed = graph.op('Conv', [channels, graph.weight('conv', [hidden, hidden, 1], 0.14)]);
  const rows = graph.op('Relu', [
    graph.op('Transpose', [mixed], { literals: { perm: [0n, 2n, 1n] } }),
  ]);
  const inner = graph.op('Relu', [graph.linear(rows, hidden, 64, 'inner')]);
  graph.op('Identity', [graph.linear(inner, 64, 32, 'out')], { output: 'logits' });
  const model = finishModel(graph, {
    inputs: [
      value('features', 'float32', ['batch', 'time', features]),
      value('lengths', 'int32', ['batch']),
    ],
    outputs: [value('logits', 'float32', ['batch', 'time', 32])],
  });
  const samples = (seed: number) => ({
    features: normalSamples([10, 16, features], seed),
    lengths: { ...ones([10], 'int32'), values: Array.from({ length: 10 }, () => 16) },
  });
  const { artifact, sqnr } = await quantizeSituation(model, samples(1), samples(2));
  for (const name of ['W', 'R', 'conv']) {
    expect(artifact.graph.initializers.get(name)?.dataType).toBe('float32');
  }
  expect(sqnr.get('logits')).toBeGreaterThan(USUAL_DB);
});

it('a layer that is INT8 already is left as it is, and its neighbour is quantized', async () => {
  const width = 48;
  const graph = buildGraph();
  const integers = Int8Array.from({ length: width * 80 }, (_, index) => ((index * 37) % 127) - 63);
  graph.initializers.push(
    inlineTensor('up.integers', 'int8', [width, 80], bytesOf(integers)),
    floats('up.scales', [80], new Float32Array(80).fill(0.003)),
    inlineTensor('up.zeros', 'int8', [80], new Uint8Array(80)),
    inlineTensor('x.zero', 'uint8', [], Uint8Array.of(128)),
  );
  const scale = graph.constant('x.scale', [], [0.03]);
  const x = graph.op('DequantizeLinear', [
    graph.op('QuantizeLinear', ['x', scale, 'x.zero']),
    scale,
    'x.zero',
  ]);
  const up = graph.op('DequantizeLinear', ['up.integers', 'up.scales', 'up.zeros'], {
    literals: { axis: 1n },
  });
  const hidden = graph.op('Relu', [graph.op('MatMul', [x, up], { name: '/up/MatMul' })]);
  const inner = graph.op('Relu', [graph.linear(hidden, 80, 64, 'inner')]);
  graph.op('Identity', [graph.linear(inner, 64, width, 'down')], { output: 'y' });
  const model = finishModel(graph, {
    inputs: [value('x', 'float32', ['batch', 'sequence', width])],
    outputs: [value('y', 'float32', ['batch', 'sequence', width])],
  });
  const samples = (seed: number) => ({ x: normalSamples([12, 8, width], seed) });
  const { artifact, sqnr } = await quantizeSituation(model, samples(1), samples(2));
  expect(artifact.graph.initializers.get('up.integers')?.source.byteLength).toBe(width * 80);
  expect(sqnr.get('y')).toBeGreaterThan(USUAL_DB);
});
