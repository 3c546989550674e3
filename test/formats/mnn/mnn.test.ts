import { describe, expect, it, vi } from 'vitest';
import { FormatError, UnsupportedError } from '../../../src/errors.ts';
import type { ByteSource } from '../../../src/formats/bytes.ts';
import { encodeNet } from '../../../src/formats/mnn/encode-net.ts';
import { DATA_FORMAT, OP_TYPE } from '../../../src/formats/mnn/enums.ts';
import { decodeBlob, quantizedBlob } from '../../../src/formats/mnn/quantized-blob.ts';
import { readMnn } from '../../../src/formats/mnn/read.ts';
import type { Table } from '../../../src/formats/mnn/schema.ts';
import { readWeights } from '../../../src/formats/mnn/weight-layout.ts';
import { graphBytes, type MnnModel, weightBytes } from '../../../src/formats/mnn/write.ts';
import { inlineSource, type TensorSource } from '../../../src/ir/tensor.ts';
import { float32ToFloat16 } from '../../../src/numerics/float16.ts';
import { noise } from '../../kit/models.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const [ROWS, COLUMNS] = [6, 16];

describe('.mnn files', () => {
  it('are read back as they were written, inline and beside the graph', async () => {
    const written = await sample();
    const files = await write(written);
    const { ops, inputs, outputs, tensorNames, weights } = read(files);
    expect(ops).toEqual(written.net.oplists);
    expect([inputs, outputs]).toEqual([['x/in:0'], ['y']]);
    expect(tensorNames).toEqual(written.net.tensorName);
    expect([...weights.keys()]).toEqual([1, 2, 3, 4]);
  });

  it('give exactly the weights that integers and scales say: per channel, in blocks, with offsets, halves', async () => {
    const { ops, weights } = read(await write(await sample()));
    const decoded = async (index: number): Promise<number[]> => {
      const placed = weights.get(index);
      if (placed?.kind !== 'convolution') throw new Error(`op ${index} is no convolution`);
      return [...(await readWeights(placed, 'test'))];
    };
    expect(ops).toHaveLength(5);
    const q8 = codes(8);
    const symmetric = (row: number, column: number): number =>
      q8[row * COLUMNS + column]! * Math.fround(0.01 * (1 + row));
    expect(await decoded(1)).toEqual(matrix((row, column) => Math.fround(symmetric(row, column))));
    const q4 = codes(4);
    const [offsets, scales] = [pairs(0), pairs(1)];
    const blocked = (row: number, column: number): number => {
      const at = row * 2 + Math.floor(column / 8);
      return Math.fround(q4[row * COLUMNS + column]! * scales[at]! + offsets[at]!);
    };
    expect(await decoded(2)).toEqual(matrix(blocked));
    expect(await decoded(3)).toEqual(
      [...noise(3, ROWS * COLUMNS)].map((v) => Math.round(v * 64) / 64),
    );
  });

  it.each([4, 8] as const)('hold every code of %s bits', async (bits) => {
    const all = Int8Array.from({ length: 2 ** bits }, (_, at) => at - 2 ** (bits - 1));
    const blob = quantizedBlob(1, all.length, bits, inlineSource(packed(all, bits)));
    expect(decodeBlob(await bytesOf(blob), false, 'test')).toEqual(all);
  });

  it('state shapes above 65,535 in 32 bits', async () => {
    const blob = await bytesOf(
      quantizedBlob(70_000, 1, 8, inlineSource(new Uint8Array(70_000).fill(130))),
    );
    expect(blob[0]).toBe(2);
    expect(decodeBlob(blob, true, 'test').every((q) => q === 2)).toBe(true);
    expect(() => decodeBlob(blob, false, 'test')).toThrow(FormatError);
  });

  it('do not pass 2 GB, and no number is cut off', () => {
    const source: TensorSource = {
      byteLength: 2 ** 31,
      read: () => Promise.reject(new Error('read')),
    };
    const blob: Table<'Op'> = {
      type: OP_TYPE.Const,
      main: { kind: 'Blob', value: { uint8s: source } },
    };
    expect(() => encodeNet({ oplists: [blob] })).toThrow(UnsupportedError);
    expect(() => encodeNet({ tensorNumber: 2 ** 31 })).toThrow(
      /does not fit its field \(got 2147483648/,
    );
  });

  it('are refused with FormatError alone, whatever is damaged in them', async () => {
    const { graph, beside } = await write(await sample());
    let state = 7;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    let refused = 0;
    for (let round = 0; round < 10_000; round++) {
      const bytes = graph.slice(0, random(20) === 0 ? random(graph.length) : graph.length);
      const view = new DataView(bytes.buffer);
      for (let change = 0; change <= random(3) && bytes.length > 4; change++) {
        const at = random(bytes.length - 4);
        if (random(2) === 0) bytes[at] = random(256);
        else
          view.setUint32(
            at,
            [0, 1, 0xffffffff, 0x7fffffff, random(graph.length)][random(5)]!,
            true,
          );
      }
      try {
        const { weights } = read({
          graph: bytes,
          beside: beside.slice(0, beside.length - random(2)),
        });
        for (const placed of weights.values()) {
          if (placed.kind === 'convolution') await readWeights(placed, 'test');
        }
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  it('do not unfold without end where parts are shared', () => {
    // 30,000 offsets to one op of 30,000 bytes.
    const count = 30_000;
    const { head } = encodeNet({
      tensorName: [],
      oplists: [{ name: 'a'.repeat(30_000) }, ...Array.from({ length: count }, () => ({}))],
    });
    const view = new DataView(head.buffer, head.byteOffset);
    const vector = vectorAt(view, count + 1);
    const target = vector + 4 + view.getUint32(vector + 4, true);
    for (let index = 1; index <= count; index++) {
      const at = vector + 4 + 4 * index;
      view.setUint32(at, target - at, true);
    }
    const files = { graph: Uint8Array.from(head), beside: new Uint8Array() };
    expect(() => read(files)).toThrow(/unfolds to more than itself/);
  });

  it('say which file is missing beside them', async () => {
    const { graph } = await write(await sample());
    expect(() => readMnn(memory(graph, 'model.mnn'), undefined)).toThrow(
      /model\.mnn: op half: its weight lies outside the \.weight file .* Put the \.weight file/,
    );
  });
});

function vectorAt(view: DataView, count: number): number {
  for (let at = 0; at + 4 <= view.byteLength; at += 4)
    if (view.getUint32(at, true) === count) return at;
  throw new Error('no vector');
}

function matrix(at: (row: number, column: number) => number): number[] {
  return Array.from({ length: ROWS * COLUMNS }, (_, index) =>
    at(Math.floor(index / COLUMNS), index % COLUMNS),
  );
}

function codes(bits: 4 | 8): Int8Array {
  return Int8Array.from(noise(bits, ROWS * COLUMNS), (v) => Math.floor(v * 2 ** (bits - 1)));
}

function packed(values: Int8Array, bits: 4 | 8): Uint8Array {
  if (bits === 8) return Uint8Array.from(values, (q) => q + 128);
  return Uint8Array.from(
    { length: values.length / 2 },
    (_, at) => ((values[2 * at]! + 8) << 4) | (values[2 * at + 1]! + 8),
  );
}

function pairs(index: number): Float32Array {
  return noise(9, ROWS * 4).filter((_, at) => at % 2 === index);
}

/** An input, three convolutions (8 bits inline, 4 bits in blocks with offsets, halves beside) and a norm. */
async function sample(): Promise<MnnModel> {
  const common = { inputCount: COLUMNS, outputCount: ROWS };
  const blob = (bits: 4 | 8): Promise<Uint8Array> =>
    bytesOf(quantizedBlob(ROWS, COLUMNS, bits, inlineSource(packed(codes(bits), bits))));
  const [bytes, nibbles] = [await blob(8), await blob(4)];
  const bias = new Float32Array(ROWS);
  const halves = Uint16Array.from(noise(3, ROWS * COLUMNS), (v) =>
    float32ToFloat16(Math.round(v * 64) / 64),
  );
  const beside = inlineSource(new Uint8Array(halves.buffer));
  const op = (
    name: string,
    index: number,
    main: NonNullable<Table<'Op'>['main']>,
    type: number = OP_TYPE.Convolution,
  ): Table<'Op'> => ({
    inputIndexes: index === 0 ? [] : [index - 1],
    main,
    name,
    outputIndexes: [index],
    type,
    defaultDimentionFormat: DATA_FORMAT.NCHW,
  });
  const oplists = [
    op(
      'x/in:0',
      0,
      { kind: 'Input', value: { dims: [-1, COLUMNS], dtype: 1, dformat: 0 } },
      OP_TYPE.Input,
    ),
    op('channels', 1, {
      kind: 'Convolution2D',
      value: {
        common,
        bias,
        quanParameter: {
          buffer: bytes,
          alpha: Float32Array.from({ length: ROWS }, (_, row) => 0.01 * (1 + row)),
          type: 1,
          quantScale: 1,
          aMaxOrBits: 8,
          aMin: -128,
          readType: 0,
          shapeInt32: false,
        },
      },
    }),
    op('blocks', 2, {
      kind: 'Convolution2D',
      value: {
        common,
        bias,
        quanParameter: {
          buffer: nibbles,
          alpha: noise(9, ROWS * 4),
          type: 1,
          quantScale: 1,
          aMaxOrBits: 4,
          aMin: 1,
          readType: ROWS * 2,
          shapeInt32: false,
        },
      },
    }),
    op('half', 3, {
      kind: 'Convolution2D',
      value: {
        common,
        quanParameter: { type: 3, quantScale: 1 },
        external: [0, 2 * ROWS * COLUMNS, 0, 4 * ROWS, 0],
      },
    }),
    op(
      'norm',
      4,
      {
        kind: 'LayerNorm',
        value: {
          axis: [-1],
          epsilon: 1e-5,
          gamma: noise(1, 4),
          beta: new Float32Array(4),
          group: 1,
          useRMSNorm: true,
        },
      },
      OP_TYPE.LayerNorm,
    ),
  ];
  // Floats are what they are after a trip through 32 bits.
  const norm = oplists[4]!.main!.value as { epsilon: number };
  norm.epsilon = Math.fround(norm.epsilon);
  const net = {
    oplists,
    outputName: ['y'],
    sourceType: 3,
    tensorName: ['x/in:0', 'b', 'c', 'd', 'y'],
    tensorNumber: 5,
  };
  return { net, weights: [beside, inlineSource(new Uint8Array(bias.buffer))] };
}

interface Files {
  readonly graph: Uint8Array<ArrayBuffer>;
  readonly beside: Uint8Array<ArrayBuffer>;
}

async function write(model: MnnModel): Promise<Files> {
  return { graph: await joined(graphBytes(model)), beside: await joined(weightBytes(model)) };
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const bytes: number[] = [];
  for await (const piece of pieces) bytes.push(...piece);
  return Uint8Array.from(bytes);
}

function read({ graph, beside }: Files): ReturnType<typeof readMnn> {
  return readMnn(memory(graph, 'model.mnn'), memory(beside, 'model.mnn.weight'));
}

function memory(bytes: Uint8Array, path: string): ByteSource {
  const readSync = (into: Uint8Array, offset: number): void => {
    if (offset < 0 || offset + into.length > bytes.length) throw new Error('read outside the file');
    into.set(bytes.subarray(offset, offset + into.length));
  };
  return {
    path,
    byteLength: bytes.length,
    readSync,
    read: async (into, offset) => readSync(into, offset),
  };
}

async function bytesOf(source: TensorSource): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.byteLength);
  await source.read(bytes, 0);
  return bytes;
}
