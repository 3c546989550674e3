import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import type { OutputFolder } from '../../../src/formats/bytes.ts';
import { readOnnxModel } from '../../../src/formats/onnx/read.ts';
import { type WriteOptions, writeOnnxModel } from '../../../src/formats/onnx/write.ts';
import type { Model } from '../../../src/ir/model.ts';
import { derivedSource } from '../../../src/ir/tensor.ts';
import { filled, sumModel } from './make-model.ts';
import { memoryFile, memoryFolder } from './memory-files.ts';
import { modelDifference } from './model-difference.ts';

const NAMES = { modelFile: 'm.onnx', dataFile: 'm.onnx.data' };

async function write(
  model: Model,
  options: Partial<WriteOptions> = {},
): Promise<{ files: Map<string, Buffer>; largest: number }> {
  const output = memoryFolder();
  const written = await writeOnnxModel(model, output, { ...NAMES, ...options });
  expect(written.files).toEqual([...output.files().keys()]);
  return { files: output.files(), largest: output.largestPiece() };
}

async function readBack(files: Map<string, Buffer>): Promise<Model> {
  return readOnnxModel(memoryFile(files.get('m.onnx')!, '/m.onnx'), {
    open: (location) => memoryFile(files.get(location)!, `/${location}`),
  });
}

function offsets(model: Model): unknown[] {
  return [...model.graph.initializers.values()].map(({ name, source }) => [
    name,
    source.slice?.path ?? 'inline',
    source.slice?.path === '/m.onnx.data' ? source.slice.offset : 0,
  ]);
}

describe('external data', () => {
  const model = sumModel([
    filled('tiny', 1023, 1),
    filled('small', 1024, 2),
    filled('page', 4096, 3),
    filled('odd', 5001, 4),
    filled('last', 2000, 5),
  ]);

  it('aligns pages to 4096, smaller tensors to 64, and leaves the smallest inside', async () => {
    const { files } = await write(model, { externalData: 'always' });
    const back = await readBack(files);
    expect(offsets(back)).toEqual([
      ['tiny', 'inline', 0],
      ['small', '/m.onnx.data', 0],
      ['page', '/m.onnx.data', 4096],
      ['odd', '/m.onnx.data', 8192],
      ['last', '/m.onnx.data', 13248],
    ]);
    expect(files.get('m.onnx.data')?.length).toBe(15248);
    expect(await modelDifference(model, back)).toBeUndefined();
  });

  it('stores tied tensors once', async () => {
    const tied = sumModel([filled('a', 8192, 7, 'tied'), filled('b', 8192, 7, 'tied')]);
    const { files } = await write(tied, { externalData: 'always' });
    expect(files.get('m.onnx.data')?.length).toBe(8192);
    expect(await modelDifference(tied, await readBack(files))).toBeUndefined();
  });

  it('is chosen when the input had it or the weights pass 1 GB, tied ones counted once', async () => {
    const weights = [filled('a', 2000, 1)];
    const input = { external: true, files: ['m.onnx.data'] };
    expect([...(await write(sumModel(weights, input))).files.keys()]).toEqual([
      'm.onnx.data',
      'm.onnx',
    ]);
    expect([...(await write(sumModel(weights))).files.keys()]).toEqual(['m.onnx']);
    expect([
      ...(await write(sumModel(weights, input), { externalData: 'never' })).files.keys(),
    ]).toEqual(['m.onnx']);

    const source = { byteLength: 6e8, key: 'same', read: async (): Promise<void> => {} };
    const large = { name: 'a', dataType: 'uint8', dims: [6e8], source } as const;
    const other = { ...large, name: 'b', source: { ...source, key: 'other' } };
    await expect(filesOf(sumModel([large, { ...large, name: 'b' }]))).resolves.toEqual(['m.onnx']);
    await expect(filesOf(sumModel([large, other]))).resolves.toEqual(['m.onnx.data', 'm.onnx']);
  });
});

/** Names of the files, without keeping what is written to them. */
async function filesOf(model: Model): Promise<readonly string[]> {
  const output: OutputFolder = {
    create: async () => ({ append: async () => {} }),
    link: async () => false,
  };
  return (await writeOnnxModel(model, output, NAMES)).files;
}

describe('tensors inside the file', () => {
  it('are streamed in chunks of at most 16 MiB, wherever they stand', async () => {
    const rowByteLength = 1000;
    const derived = derivedSource({
      rowCount: 40_000,
      rowByteLength,
      async fill(into, firstRow, rowCount) {
        for (let row = 0; row < rowCount; row++) {
          into.fill((firstRow + row) % 251, row * rowByteLength, (row + 1) * rowByteLength);
        }
      },
    });
    const large = {
      name: 'large',
      dataType: 'uint8',
      dims: [40_000, 1000],
      source: derived,
    } as const;
    const model = sumModel([filled('first', 10, 1), large, filled('second', 5000, 2)]);
    const constant = model.graph.nodes[0]!;
    const attributes = new Map([
      ['value', { name: 'value', kind: 'tensor', value: { ...large, name: '' } } as const],
    ]);
    const nodes = [{ ...constant, attributes }];
    const whole = { ...model, graph: { ...model.graph, nodes } };
    const { files, largest } = await write(whole, { externalData: 'never' });
    expect(largest).toBe(16 * 2 ** 20);
    expect(await modelDifference(whole, await readBack(files))).toBeUndefined();
  });

  it('stream a derived tensor of a few bytes', async () => {
    const source = derivedSource({
      rowCount: 22,
      rowByteLength: 1,
      async fill(into, first, count) {
        for (let row = 0; row < count; row++) into[row] = first + row;
      },
    });
    for (const count of [1, 20, 21, 22]) {
      const tensor = {
        name: 'w',
        dataType: 'uint8',
        dims: [count],
        source: { ...source, byteLength: count },
      } as const;
      const model = sumModel([tensor]);
      const { files } = await write(model);
      expect(await modelDifference(model, await readBack(files))).toBeUndefined();
    }
  });

  it('are refused before anything is written when the file would pass 2 GiB', async () => {
    const source = { byteLength: 2 ** 31, read: () => Promise.reject(new Error('not to be read')) };
    const model = sumModel([{ name: 'w', dataType: 'uint8', dims: [2 ** 31], source }]);
    const output: OutputFolder = {
      create: () => Promise.reject(new Error('not to be made')),
      link: async () => false,
    };
    const options = { ...NAMES, externalData: 'never' } as const;
    const failure = expect(writeOnnxModel(model, output, options)).rejects;
    await failure.toThrow(UnsupportedError);
    await failure.toThrow(
      'm.onnx: the .onnx file would be too large (got 2147483731 bytes, expected less than 2 GiB). Write it with external data.',
    );
  });
});
