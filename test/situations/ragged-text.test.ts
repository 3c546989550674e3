/** Documents of many lengths, down to two tokens: histograms of unequal samples are joined. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createRandom } from '../../src/numerics/random.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { calibrate } from '../../src/workflows/calibrate.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { value } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { buildGraph, finishModel } from './graph-builder.ts';

const VOCABULARY = 256;
const WIDTH = 48;

function decoder() {
  const graph = buildGraph();
  const x = graph.op('Gather', [graph.weight('embed.weight', [VOCABULARY, WIDTH]), 'input_ids']);
  const mask = graph.op('Unsqueeze', [
    graph.op('Cast', ['attention_mask'], { literals: { to: 1n } }),
    graph.integers('last', [1], [-1]),
  ]);
  const hidden = graph.op('Relu', [graph.linear(graph.op('Mul', [x, mask]), WIDTH, 80, 'up')]);
  const sum = graph.op('Add', [graph.linear(hidden, 80, WIDTH, 'down'), x]);
  const logits = graph.product(sum, WIDTH, VOCABULARY, 'lm_head');
  graph.op('Identity', [logits], { output: 'logits' });
  return finishModel(graph, {
    inputs: ['input_ids', 'attention_mask'].map((name) =>
      value(name, 'int64', ['batch', 'sequence']),
    ),
    outputs: [value('logits', 'float32', ['batch', 'sequence', VOCABULARY])],
  });
}

/** Lines of 2, 5, ... 62 letters. */
function lines(seed: number): string {
  const random = createRandom(seed);
  const letter = (): string => String.fromCharCode(97 + Math.floor(random.uniform() * 26));
  return Array.from({ length: 21 }, (_, index) => {
    const text = Array.from({ length: 2 + 3 * index }, letter).join('');
    return `${JSON.stringify({ text })}\n`;
  }).join('');
}

it.each(['entropy', 'percentile', 'mse', 'auto'] as const)(
  'calibrate --calibrator %s gives ranges of all samples, and quantize takes them',
  async (calibrator) => {
    const folder = temporaryFolder();
    const data = join(folder, 'data');
    mkdirSync(data);
    writeFileSync(join(data, 'calib.jsonl'), lines(1));
    writeFileSync(join(data, 'heldout.jsonl'), lines(2));
    const set = 'kind: text\nfiles: [calib.jsonl]\nheldOut: [heldout.jsonl]\ntokenizer: bytes\n';
    writeFileSync(join(data, 'dataset.yaml'), `${set}sequenceLength: 64\nsamples: 21\n`);
    const model = join(folder, 'model.onnx');
    await saveModel(decoder(), model);
    const output = join(folder, 'calibration');
    const result = await calibrate(
      { model, data, output, calibrator, tables: [] },
      listeningReporter(),
    );
    expect(result.samples).toBe(21);
    // 2 + 5 + ... + 62
    const tokens = 21 * 32;
    expect(result.tensors.map(({ count }) => count)).toContain(tokens * WIDTH);
    for (const { min, max } of result.tensors) expect(max!).toBeGreaterThan(min!);
    const { fusion } = await quantize(
      { model, calibration: output, output: join(folder, 'quantized') },
      listeningReporter(),
    );
    expect(fusion).toMatchObject({ planned: 3, fused: 3 });
  },
);
