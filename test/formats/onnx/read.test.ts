import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readOnnxModel } from '../../../src/formats/onnx/read.ts';
import { intsAttribute } from '../../../src/ir/attributes.ts';
import type { Model } from '../../../src/ir/model.ts';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { openModel } from '../../../src/storage/model-file.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { memoryFile, NO_FILES } from './memory-files.ts';
import { addGraph, external, field, join, model, node, tensor, value, varint } from './wire.ts';

const read = (bytes: Uint8Array): Promise<Model> => readOnnxModel(memoryFile(bytes), NO_FILES);

async function weightBytes(fields: readonly Uint8Array[]): Promise<number[]> {
  const { graph } = await read(model(addGraph(fields)));
  return [...(await readTensorBytes(graph.initializers.get('w')!))];
}

function packed(values: readonly (number | bigint)[]): Uint8Array {
  return join(values.map((entry) => varint(entry)));
}

describe('tensors', () => {
  it('accepts dims packed and unpacked', async () => {
    const unpacked = await read(model(addGraph(tensor('w', 2, [2, 3], new Uint8Array(6)))));
    const packedDims = tensor('w', 2, [], new Uint8Array(6), [field(1, packed([2, 3]))]);
    const other = await read(model(addGraph(packedDims)));
    expect(unpacked.graph.initializers.get('w')?.dims).toEqual([2, 3]);
    expect(other.graph.initializers.get('w')?.dims).toEqual([2, 3]);
  });

  it('turns typed fields into little-endian bytes, entry by entry', async () => {
    // float16 1.0 = 0x3c00 and -2.0 = 0xc000 in int32_data; int8 -1 is a varint of ten bytes.
    expect(
      await weightBytes(tensor('w', 10, [2], undefined, [field(5, packed([0x3c00, 0xc000]))])),
    ).toEqual([0x00, 0x3c, 0x00, 0xc0]);
    expect(
      await weightBytes(tensor('w', 3, [2], undefined, [field(5, packed([-1, 127]))])),
    ).toEqual([255, 127]);
    // int4: one entry holds two elements, the first in the low half.
    expect(
      await weightBytes(tensor('w', 22, [3], undefined, [field(5, packed([0x21, 0x0f]))])),
    ).toEqual([0x21, 0x0f]);
    expect(await weightBytes(tensor('w', 7, [1], undefined, [field(7, packed([-2]))]))).toEqual([
      254, 255, 255, 255, 255, 255, 255, 255,
    ]);
    expect(
      await weightBytes(tensor('w', 12, [1], undefined, [field(11, packed([0x01020304]))])),
    ).toEqual([4, 3, 2, 1]);
    expect(
      await weightBytes(tensor('w', 1, [1], undefined, [field(4, Uint8Array.of(0, 0, 128, 63))])),
    ).toEqual([0, 0, 128, 63]);
  });

  it('decodes large typed fields when they are read, in any order', async () => {
    const values = Array.from({ length: 60_000 }, (_, index) => (index % 3 === 0 ? -index : index));
    const fields = tensor('w', 7, [60_000], undefined, [field(7, packed(values))]);
    const { source } = (await read(model(addGraph(fields)))).graph.initializers.get('w')!;
    expect(source.bytes).toBeUndefined();
    const whole = new Uint8Array(480_000);
    await source.read(whole, 0);
    expect(whole).toEqual(new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
    for (const [offset, length] of [
      [79_997, 19],
      [3, 2],
      [479_999, 1],
      [0, 8],
    ] as const) {
      const part = new Uint8Array(length);
      await source.read(part, offset);
      expect(part).toEqual(whole.subarray(offset, offset + length));
    }
    await expect(source.read(new Uint8Array(2), 479_999)).rejects.toThrow(RangeError);
  });

  it.each([
    [49_999, 'holds more than the 49999 numbers of its dims'],
    [50_001, 'holds fewer than the 50001 numbers of its dims'],
  ])(
    'refuses a large typed field that does not hold %i numbers when it is read',
    async (count, what) => {
      const fields = tensor('w', 7, [count], undefined, [
        field(7, packed(new Array(50_000).fill(1))),
      ]);
      const weight = (await read(model(addGraph(fields)))).graph.initializers.get('w')!;
      await expect(readTensorBytes(weight)).rejects.toThrow(`/model.onnx: tensor "w": ${what}.`);
    },
  );

  it('reads no payload above 4 KiB before somebody asks', async () => {
    const bytes = model(addGraph(tensor('w', 2, [2 ** 20], new Uint8Array(2 ** 20).fill(7))));
    let count = 0;
    const file = memoryFile(bytes);
    const counting: typeof file = {
      ...file,
      readSync(into, offset) {
        count += into.length;
        file.readSync(into, offset);
      },
    };
    const { graph } = await readOnnxModel(counting, NO_FILES);
    expect(count).toBeLessThan(2 * 32 * 1024 + 1);
    const { source } = graph.initializers.get('w')!;
    expect(source.slice).toEqual({
      path: '/model.onnx',
      offset: Buffer.from(bytes).indexOf(Buffer.from([7, 7, 7, 7])),
    });
    const end = new Uint8Array(3);
    await source.read(end, 2 ** 20 - 3);
    expect([...end]).toEqual([7, 7, 7]);
  });

  it('keeps an element type newer than its table', async () => {
    const { graph } = await read(model(addGraph(tensor('w', 99, [3], Uint8Array.of(1, 2, 3, 4)))));
    expect(graph.initializers.get('w')).toMatchObject({ dataType: 'type99', dims: [3] });
  });
});

describe('graphs', () => {
  const identity = (from: string, to: string): Uint8Array =>
    field(1, node('Identity', [from], [to]));

  it('sorts nodes that stand out of order and leaves others as they are', async () => {
    const io = [field(11, value('x')), field(12, value('y'))];
    const nodes = [identity('x', 'u'), identity('c', 'y'), identity('b', 'c'), identity('x', 'b')];
    const { graph } = await read(model([...nodes, ...io]));
    expect(graph.nodes.map((entry) => entry.outputs[0])).toEqual(['u', 'b', 'c', 'y']);
  });

  it('puts a node behind the values that its subgraph captures', async () => {
    const branch = [field(2, 'b'), identity('late', 'z'), field(12, value('z'))];
    const attribute = (name: string): Uint8Array =>
      field(5, [field(1, name), field(6, branch), field(20, 5)]);
    const nodes = [
      field(1, node('If', ['x'], ['y'], [attribute('then_branch'), attribute('else_branch')])),
      identity('x', 'late'),
    ];
    const io = [field(11, value('x', [], 9)), field(12, value('y'))];
    const { graph } = await read(model([...nodes, ...io]));
    expect(graph.nodes.map((entry) => entry.opType)).toEqual(['Identity', 'If']);
  });

  it('orders a chain of 50,000 nodes given back to front', async () => {
    const count = 50_000;
    const nodes = Array.from({ length: count }, (_, index) =>
      identity(`v${count - index - 1}`, `v${count - index}`),
    );
    const io = [field(11, value('v0')), field(12, value(`v${count}`))];
    const { graph } = await read(model([...nodes, ...io]));
    expect(graph.nodes.at(-1)?.outputs).toEqual([`v${count}`]);
  });

  it('tells the attribute type by the value where an old file states none', async () => {
    const old = field(5, [field(1, 'axes'), field(8, 3), field(8, -1)]);
    const io = [field(11, value('x')), field(12, value('y'))];
    const { graph } = await read(model([field(1, node('Squeeze', ['x'], ['y'], [old])), ...io]));
    expect(intsAttribute(graph.nodes[0]!, 'axes')).toEqual([3, -1]);
  });

  it('reads dims as numbers, symbols or unknown', async () => {
    const dims = [
      field(1, [field(1, 5)]),
      field(1, [field(2, 'n')]),
      field(1, []),
      field(1, [field(2, '')]),
      field(1, [field(1, -1)]),
    ];
    const type = field(2, [field(1, [field(1, 1), field(2, dims)])]);
    const { graph } = await read(model([field(11, [field(1, 'x'), type]), field(12, value('x'))]));
    expect(graph.inputs[0]?.type).toEqual({
      kind: 'tensor',
      dataType: 'float32',
      shape: [5, 'n', undefined, undefined, undefined],
    });
  });
});

describe('external data', () => {
  const weight = (location: string): Uint8Array =>
    model(addGraph(tensor('w', 2, [8], undefined, external(location, '2', '8'))));

  it('follows a hub cache, where model and data are links into one folder of blobs', async () => {
    const folder = temporaryFolder();
    const snapshot = joinPath(folder, 'snapshots', 'abc', 'onnx');
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(joinPath(folder, 'blobs'));
    writeFileSync(joinPath(folder, 'blobs', '11'), weight('model.onnx_data'));
    writeFileSync(joinPath(folder, 'blobs', '22'), Uint8Array.of(9, 9, 1, 2, 3, 4, 5, 6, 7, 8));
    symlinkSync('../../../blobs/11', joinPath(snapshot, 'model.onnx'));
    symlinkSync('../../../blobs/22', joinPath(snapshot, 'model.onnx_data'));

    const opened = await openModel(joinPath(snapshot, 'model.onnx'));
    const found = opened.graph.initializers.get('w')!;
    expect([...(found.source.bytes ?? [])]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(found.source.slice).toEqual({ path: joinPath(folder, 'blobs', '22'), offset: 2 });
    expect(opened.storage).toEqual({
      external: true,
      files: ['model.onnx_data'],
      modelFile: 'model.onnx',
    });
  });

  it('finds data in a folder below the model, and through a link to the whole folder', async () => {
    const folder = temporaryFolder();
    mkdirSync(joinPath(folder, 'real', 'weights'), { recursive: true });
    writeFileSync(joinPath(folder, 'real', 'model.onnx'), weight('weights/w.bin'));
    writeFileSync(joinPath(folder, 'real', 'weights', 'w.bin'), new Uint8Array(10));
    symlinkSync('real', joinPath(folder, 'link'));
    const opened = await openModel(joinPath(folder, 'link', 'model.onnx'));
    expect(opened.storage.files).toEqual(['weights/w.bin']);
  });
});
