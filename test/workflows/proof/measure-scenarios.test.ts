import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { saveModel } from '../../../src/storage/model-file.ts';
import { check } from '../../../src/workflows/check.ts';
import { quantize } from '../../../src/workflows/quantize.ts';
import { npy, npz } from '../../kit/numpy-files.ts';
import { silent } from '../../kit/reporters.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { tinyEncoder } from '../../models/tiny-encoder.ts';

/** A data set that brings ids, mask and token types, `dims` a sample, with some padding. */
function tensorData(folder: string, dims: readonly number[]): string {
  const count = dims.reduce((product, dim) => product * dim, 1);
  const path = join(folder, 'rows.npz');
  const rows = (element: (at: number) => number): Uint8Array => {
    const data = BigInt64Array.from({ length: 5 * count }, (_, at) => BigInt(element(at)));
    return npy('<i8', [5, ...dims], data);
  };
  const arrays = {
    input_ids: rows((at) => (at * 31) % 64),
    attention_mask: rows((at) => Number(at % 50 < 40)),
    token_type_ids: rows((at) => at % 2),
  };
  writeFileSync(path, npz(arrays, 0));
  return path;
}

async function timed(dims: readonly number[], contextLength?: number): Promise<readonly unknown[]> {
  const folder = temporaryFolder();
  const model = join(folder, 'model.onnx');
  await saveModel(tinyEncoder(), model);
  const output = join(folder, 'q');
  const data = tensorData(folder, dims);
  await quantize({ model, recipe: 'w8a8', data, output }, silent);
  const result = await check(
    { artifact: output, data, device: 'cpu', gates: [], latency: true, contextLength },
    silent,
  );
  return result.latency.map(({ scenario, itemsPerRun }) => [scenario, itemsPerRun]);
}

describe('timing of an encoder whose data bring mask and token types', () => {
  it('cuts rows of 200 tokens to 128, and counts tokens where rows are [1, n]', async () => {
    expect(await timed([200])).toEqual([['prefill 128', { count: 128, unit: 'tokens' }]]);
    expect(await timed([1, 200], 150)).toEqual([['prefill 150', { count: 150, unit: 'tokens' }]]);
  }, 240_000);

  it('times rows of [4, 64] as the batch that they are', async () => {
    expect(await timed([4, 64])).toEqual([['prefill 4 x 64', { count: 256, unit: 'tokens' }]]);
  }, 120_000);
});

it('a text goes through a model of fixed batch, which is calibrated, compared and timed as a whole', async () => {
  const folder = temporaryFolder();
  const model = join(folder, 'model.onnx');
  await saveModel(tinyEncoder([3, 20]), model);
  // Digits and spaces: bytes below 64, the rows of the table.
  writeFileSync(join(folder, 'a.txt'), '0123 456 78 9 1 23 5 '.repeat(12));
  writeFileSync(
    join(folder, 'dataset.yaml'),
    'kind: text\nfiles: [a.txt]\nheldOut: [a.txt]\ntokenizer: bytes\nsequenceLength: 20\n',
  );
  const output = join(folder, 'q');
  await quantize({ model, recipe: 'w8a8', data: folder, output }, silent);
  const result = await check({ artifact: output, device: 'cpu', gates: [], latency: true }, silent);
  expect(result.latency.map(({ scenario, itemsPerRun }) => [scenario, itemsPerRun])).toEqual([
    ['prefill 3 x 20', { count: 60, unit: 'tokens' }],
  ]);
  // 12 windows of 20 tokens in 3 equal rows, 32 values a token.
  expect(result.accuracy?.outputs[0]?.elements).toBe(12 * 3 * 20 * 32);
}, 120_000);
