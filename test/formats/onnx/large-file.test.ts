import { closeSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { expect, it } from 'vitest';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { external, field, join, model, node, tensor, value, varint } from './wire.ts';

const TENSORS = 24;
const TENSOR_BYTES = 128 * 2 ** 20;

/** Writes a model of 24 embedded tensors of 128 MiB, 3.2 GB in all, whose payloads are holes. */
function writeSparseModel(path: string): void {
  const names = Array.from({ length: TENSORS }, (_, index) => `w${index}`);
  const heads = names.map((name) => {
    const fields = join([
      ...tensor(name, 2, [TENSOR_BYTES], undefined),
      varint(9 * 8 + 2),
      varint(TENSOR_BYTES),
    ]);
    return join([varint(5 * 8 + 2), varint(fields.length + TENSOR_BYTES), fields]);
  });
  const rest = join([
    field(1, node('Sum', names, ['y'])),
    field(11, value('x')),
    field(12, value('y')),
  ]);
  const weights = heads.reduce((sum, head) => sum + head.length + TENSOR_BYTES, 0);
  const start = join([field(1, 10), varint(7 * 8 + 2), varint(rest.length + weights), rest]);
  const file = openSync(path, 'w');
  let position = writeSync(file, start);
  for (const head of heads)
    position += writeSync(file, head, 0, head.length, position) + TENSOR_BYTES;
  ftruncateSync(file, position);
  closeSync(file);
}

it('indexes 3.2 GB of embedded weights without reading them', async () => {
  const path = joinPath(temporaryFolder(), 'large.onnx');
  writeSparseModel(path);
  expect(statSync(path).size).toBeGreaterThan(3.2e9);
  const before = process.memoryUsage().rss;
  const { graph } = await openModel(path);
  const grown = process.memoryUsage().rss - before;
  expect(graph.initializers.size).toBe(TENSORS);
  const last = graph.initializers.get('w23')!.source;
  expect(last.byteLength).toBe(TENSOR_BYTES);
  await last.read(new Uint8Array(16), TENSOR_BYTES - 16);
  // 1 MB on a quiet machine; reading the file would take gigabytes.
  expect(grown).toBeLessThan(50e6);
});

it('streams 50 MB out of a sparse data file of 4 GB in bounded memory', async () => {
  const folder = temporaryFolder();
  const data = openSync(joinPath(folder, 'in.onnx.data'), 'w');
  ftruncateSync(data, 4e9);
  writeSync(data, Uint8Array.of(1, 2, 3), 0, 3, 3.9e9);
  closeSync(data);
  const weight = tensor(
    'w',
    2,
    [50e6],
    undefined,
    external('in.onnx.data', '3900000000', '50000000'),
  );
  const graph = [
    field(1, node('Add', ['x', 'w'], ['y'])),
    field(5, weight),
    field(11, value('x')),
    field(12, value('y')),
  ];
  const bytes = model(graph);
  const path = joinPath(folder, 'in.onnx');
  const file = openSync(path, 'w');
  writeSync(file, bytes);
  closeSync(file);

  const opened = await openModel(path);
  const before = process.memoryUsage().rss;
  const files = await saveModel(opened, joinPath(folder, 'out.onnx'));
  // One chunk of 16 MiB and its page-cache staging, not the 50 MB.
  expect(process.memoryUsage().rss - before).toBeLessThan(40e6);
  expect(statSync(files[0]!).size).toBe(50e6);
  const head = new Uint8Array(4);
  const { source } = (await openModel(files[1]!)).graph.initializers.get('w')!;
  await source.read(head, 0);
  expect([...head]).toEqual([1, 2, 3, 0]);
});
