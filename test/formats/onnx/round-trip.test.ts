import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { hashFile } from '../../../src/storage/hash-file.ts';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { root } from '../../kit/paths.ts';
import { runFile } from '../../kit/run-file.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { modelDifference } from './model-difference.ts';

const fixtures = join(root, 'fixtures/');
const models = readdirSync(fixtures, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.onnx'))
  .sort();

it('finds the fixtures', () => {
  expect(models.length).toBeGreaterThanOrEqual(14);
});

describe.each(models)('%s', (name) => {
  const path = join(fixtures, name);

  for (const externalData of ['auto', 'always', 'never'] as const) {
    it(`is equal after read, write and read (external data: ${externalData})`, async () => {
      const folder = temporaryFolder();
      const original = await openModel(path);
      const files = await saveModel(original, join(folder, 'copy.onnx'), { externalData });
      const copy = await openModel(files.at(-1)!);
      expect(await modelDifference(original, copy)).toBeUndefined();

      const again = await saveModel(copy, join(folder, 'again', 'copy.onnx'), { externalData });
      expect(await Promise.all(again.map(hashFile))).toEqual(
        await Promise.all(files.map(hashFile)),
      );
    });
  }

  it('gives bit-equal outputs in onnxruntime, or the same refusal', async () => {
    const folder = temporaryFolder();
    const expected = await runFile(path);
    for (const externalData of ['auto', 'always'] as const) {
      const copy = join(folder, externalData, 'copy.onnx');
      await saveModel(await openModel(path), copy, { externalData });
      expect(await runFile(copy)).toEqual(expected);
    }
  });

  it('is decoded by onnx-proto to the same initializers', async () => {
    const copy = join(temporaryFolder(), 'copy.onnx');
    const model = await openModel(path);
    await saveModel(model, copy, { externalData: 'never' });
    const decoded = onnx.ModelProto.decode(readFileSync(copy));
    const found = (decoded.graph?.initializer ?? []).map((tensor) => ({
      name: tensor.name,
      dims: (tensor.dims ?? []).map(Number),
      bytes: Buffer.from(tensor.rawData ?? []).toString('base64'),
    }));
    const expected = [];
    for (const [name, tensor] of model.graph.initializers) {
      const bytes = Buffer.from(await readTensorBytes(tensor)).toString('base64');
      expected.push({ name, dims: [...tensor.dims], bytes });
    }
    expect(found).toEqual(expected);
    expect(decoded.graph?.node?.map((node) => node.opType)).toEqual(
      model.graph.nodes.map((node) => node.opType),
    );
  });
});
