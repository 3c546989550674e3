/** One table that embeds tokens and makes logits is stored once, however the graph reads it. */
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { value } from '../kit/models.ts';
import { buildGraph, finishModel } from './graph-builder.ts';
import { idSamples, quantizeSituation, type SampleSet } from './quantize-situation.ts';

const VOCABULARY = 180;
const WIDTH = 48;
const logits = [value('logits', 'float32', ['batch', 'sequence', VOCABULARY])];

/** Encoder and decoder embed by one table, whose transpose makes the logits. */
function twoGathers(): Model {
  const graph = buildGraph();
  const table = graph.weight('shared.weight', [VOCABULARY, WIDTH]);
  const gather = (ids: string, name: string) => graph.op('Gather', [table, ids], { name });
  const encoded = graph.op(
    'ReduceMean',
    [
      graph.op('Relu', [
        graph.linear(gather('input_ids', '/encoder/embed_tokens/Gather'), WIDTH, 80, 'encoder.up'),
      ]),
    ],
    { literals: { axes: [1n], keepdims: 1n } },
  );
  const context = graph.linear(encoded, 80, WIDTH, 'encoder.down');
  const x = graph.op('Add', [gather('decoder_input_ids', '/decoder/embed_tokens/Gather'), context]);
  const y = graph.linear(graph.op('Relu', [graph.linear(x, WIDTH, 80, 'up')]), 80, WIDTH, 'down');
  const turned = graph.op('Transpose', [table], { literals: { perm: [1n, 0n] } });
  graph.op('MatMul', [y, turned], { name: '/lm_head/MatMul', output: 'logits' });
  return finishModel(graph, {
    inputs: ['input_ids', 'decoder_input_ids'].map((name) =>
      value(name, 'int64', ['batch', `${name}_length`]),
    ),
    outputs: logits,
  });
}

/** The head is a Gemm on the table, behind a Reshape to rank 2. */
function gemmHead(): Model {
  const graph = buildGraph();
  const table = graph.weight('wte.weight', [VOCABULARY, WIDTH], 0.1);
  const x = graph.op('Gather', [table, 'input_ids'], { name: '/wte/Gather' });
  const y = graph.linear(graph.op('Relu', [graph.linear(x, WIDTH, 80, 'up')]), 80, WIDTH, 'down');
  const flat = graph.op('Reshape', [y, graph.integers('flat', [2], [-1, WIDTH])]);
  const rows = graph.op('Gemm', [flat, table], { name: '/lm_head/Gemm', literals: { transB: 1n } });
  const shape = graph.op(
    'Concat',
    [graph.op('Shape', ['input_ids']), graph.integers('vocabulary', [1], [VOCABULARY])],
    { literals: { axis: 0n } },
  );
  graph.op('Reshape', [rows, shape], { output: 'logits' });
  return finishModel(graph, {
    inputs: [value('input_ids', 'int64', ['batch', 'sequence'])],
    outputs: logits,
  });
}

const samples = (names: readonly string[], seed: number): SampleSet =>
  Object.fromEntries(
    names.map((name, index) => [name, idSamples([12, 10], seed + index, VOCABULARY)]),
  );

describe.each([
  ['two Gathers and a Transpose', twoGathers(), ['input_ids', 'decoder_input_ids']],
  ['a Gather and a Gemm', gemmHead(), ['input_ids']],
] as const)('a table read by %s', (_how, model, names) => {
  it.each(['w8a8', 'w8a8-full', 'w8a16'])('is INT8 and stored once by %s', async (recipe) => {
    const { artifact, sqnr } = await quantizeSituation(
      model,
      samples(names, 3),
      samples(names, 30),
      { recipe },
    );
    const tables = [...artifact.graph.initializers.values()].filter(
      ({ source }) => source.byteLength >= VOCABULARY * WIDTH,
    );
    expect(tables.map(({ dataType }) => dataType)).toEqual([expect.stringMatching(/^u?int8$/)]);
    expect(sqnr.get('logits')).toBeGreaterThan(30);
  });
});
