import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { onnx } from 'onnx-proto';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  type DatasetOptions,
  openDataset,
  type Sample,
  type Split,
} from '../../src/calibrate/dataset.ts';
import { UsageError } from '../../src/errors.ts';
import { npy, npz } from '../kit/numpy-files.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

function folderWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

async function samplesOf(
  path: string,
  split: Split = 'calibration',
  options: DatasetOptions = {},
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for await (const sample of (await openDataset(path, options)).samples(split))
    samples.push(sample);
  return samples;
}

function idsOf(samples: readonly Sample[]): number[][] {
  return samples.map(({ values }) => Array.from(values.get('input_ids')!.data, Number));
}

const BYTES_YAML =
  'kind: text\nfiles: [a.txt]\nheldOut: [b.txt]\ntokenizer: bytes\nsequenceLength: 4\n';

/** Words a=3, b=4, c=5; every sequence is wrapped in [CLS]=1 ... [SEP]=2. */
const WORD_TOKENIZER = JSON.stringify({
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '[CLS]', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '[SEP]', type_id: 0 } },
    ],
    pair: [],
    special_tokens: {
      '[CLS]': { id: '[CLS]', ids: [1], tokens: ['[CLS]'] },
      '[SEP]': { id: '[SEP]', ids: [2], tokens: ['[SEP]'] },
    },
  },
  decoder: null,
  model: {
    type: 'WordLevel',
    vocab: { '[UNK]': 0, '[CLS]': 1, '[SEP]': 2, a: 3, b: 4, c: 5 },
    unk_token: '[UNK]',
  },
});

describe('a text data set', () => {
  it('is cut into windows of the UTF-8 bytes, the rest dropped', async () => {
    const folder = folderWith({ 'dataset.yaml': BYTES_YAML, 'a.txt': 'abcdefghij', 'b.txt': 'é' });
    expect(idsOf(await samplesOf(folder))).toEqual([
      [97, 98, 99, 100],
      [101, 102, 103, 104],
    ]);
    // Less than one window is all there is: é is two bytes.
    expect(idsOf(await samplesOf(folder, 'heldOut'))).toEqual([[0xc3, 0xa9]]);
  });

  it('wraps every window in the special tokens of its tokenizer', async () => {
    const folder = folderWith({
      'dataset.yaml': BYTES_YAML.replace('bytes', 'tokenizer.json'),
      'tokenizer.json': WORD_TOKENIZER,
      'a.txt': 'a b c c b a',
      'b.txt': 'a x',
    });
    expect(idsOf(await samplesOf(folder))).toEqual([
      [1, 3, 4, 2],
      [1, 5, 5, 2],
      [1, 4, 3, 2],
    ]);
    expect(idsOf(await samplesOf(folder, 'heldOut'))).toEqual([[1, 3, 0, 2]]);
  });

  it('takes the tokenizer of the model when it names none', async () => {
    const folder = folderWith({
      'set/dataset.yaml': 'kind: text\nfiles: [a.txt]\nsequenceLength: 4\n',
      'set/a.txt': 'a b',
      'tokenizer.json': WORD_TOKENIZER,
    });
    const set = join(folder, 'set');
    const tokenizer = join(folder, 'tokenizer.json');
    expect(idsOf(await samplesOf(set, 'calibration', { tokenizer }))).toEqual([[1, 3, 4, 2]]);
    await expect(openDataset(set)).rejects.toThrow(/no tokenizer/);
  });

  it('keeps the documents of jsonl apart', async () => {
    const folder = folderWith({
      'dataset.yaml': BYTES_YAML.replace('a.txt', 'a.jsonl'),
      'a.jsonl': '{"text": "abcdef"}\n\n{"messages": [{"content": "g"}, {"content": "h"}]}\n',
      'b.txt': '',
    });
    expect(idsOf(await samplesOf(folder))).toEqual([
      [97, 98, 99, 100],
      [101, 102],
      [103, 10, 104],
    ]);
    writeFileSync(join(folder, 'a.jsonl'), '{"txt": "abc"}\n');
    await expect(samplesOf(folder)).rejects.toThrow(/a\.jsonl: a line is not a document/);
  });

  it('spreads a choice of samples evenly, or by seed, and is the same every time', async () => {
    const text = Array.from({ length: 100 }, (_, index) => String(index).padStart(4, '0')).join('');
    const folder = folderWith({ 'dataset.yaml': BYTES_YAML, 'a.txt': text, 'b.txt': text });
    const numbers = async (options: DatasetOptions): Promise<number[]> =>
      idsOf(await samplesOf(folder, 'calibration', options)).map((ids) =>
        Number(String.fromCharCode(...ids)),
      );
    expect(await numbers({ samples: 4 })).toEqual([12, 37, 62, 87]);
    const seeded = await numbers({ samples: 4, seed: 1 });
    expect(await numbers({ samples: 4, seed: 1 })).toEqual(seeded);
    expect(await numbers({ samples: 4, seed: 2 })).not.toEqual(seeded);
    expect(await numbers({ samples: 1000 })).toHaveLength(100);
    expect(await samplesOf(folder, 'heldOut', { samples: 4 })).toHaveLength(100);
    expect(await samplesOf(folder, 'heldOut', { heldOutSamples: 4 })).toHaveLength(4);
  });

  it('reads blocks of whole lines of a file beyond the budget', async () => {
    const line = `${'x'.repeat(98)}\n`;
    const folder = folderWith({
      'dataset.yaml': BYTES_YAML.replace('sequenceLength: 4', 'sequenceLength: 99'),
      'a.txt': line.repeat(60_000),
      'b.txt': '',
    });
    const set = await openDataset(folder, { samples: 10 });
    expect(await set.count('calibration')).toBe(10);
    for await (const { values } of set.samples('calibration')) {
      expect(String.fromCharCode(...Array.from(values.get('input_ids')!.data, Number))).toBe(line);
    }
  });
});

describe('a tensor data set', () => {
  it('gives row i of every array, with the class apart', async () => {
    const arrays = {
      x: npy('<f4', [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6)),
      y: npy('<i8', [2], BigInt64Array.of(7n, 9n)),
    };
    const folder = folderWith({
      'dataset.yaml': 'kind: tensors\nfiles: [c.npz]\nheldOut: [h.npz]\nlabels: y\n',
      'c.npz': npz(arrays, 6),
      'h.npz': npz(arrays, 0),
    });
    for (const split of ['calibration', 'heldOut'] as const) {
      const samples = await samplesOf(folder, split);
      expect(samples.map(({ label }) => label)).toEqual([7, 9]);
      expect([...samples[1]!.values]).toEqual([
        ['x', { dataType: 'float32', dims: [3], data: Float32Array.of(4, 5, 6) }],
      ]);
    }
  });

  it('reads a folder as the files in it, by name, and refuses one without any', async () => {
    const file = (value: number): Uint8Array =>
      npz({ x: npy('<f4', [1], Float32Array.of(value)) }, 0);
    const folder = folderWith({
      'dataset.yaml': 'kind: tensors\nfiles: [c]\nheldOut: [h]\n',
      'c/1.npz': file(1),
      'c/more/0.npz': file(2),
      'c/0.npz': file(0),
      'c/README.md': 'not data',
      'h/0.npz': file(3),
    });
    const values = async (split: Split): Promise<number[]> =>
      (await samplesOf(folder, split)).map((sample) => Number(sample.values.get('x')!.data[0]));
    expect(await values('calibration')).toEqual([0, 1, 2]);
    expect(await values('heldOut')).toEqual([3]);
    writeFileSync(join(folder, 'dataset.yaml'), 'kind: tensors\nfiles: [none]\n');
    mkdirSync(join(folder, 'none'));
    await expect(openDataset(folder)).rejects.toThrow(UsageError);
    await expect(openDataset(folder)).rejects.toThrow(/no data in none \(expected \.npz \.npy\)/);
  });

  it('refuses arrays of different length', async () => {
    const folder = folderWith({
      'dataset.yaml': 'kind: tensors\nfiles: [a.npy, b.npy]\n',
      'a.npy': npy('|i1', [2], new Int8Array(2)),
      'b.npy': npy('|i1', [3], new Int8Array(3)),
    });
    await expect(samplesOf(folder)).rejects.toThrow(/a has 2 samples, b 3/);
  });

  it('reads test data sets of ONNX, typed and raw', async () => {
    const raw = onnx.TensorProto.encode({
      name: 'x',
      dataType: 1,
      dims: [1, 2],
      rawData: new Uint8Array(Float32Array.of(1.5, -2).buffer),
    }).finish();
    const typed = onnx.TensorProto.encode({
      name: 'n',
      dataType: 7,
      dims: [1],
      int64Data: [-3],
    }).finish();
    const folder = folderWith({
      'test_data_set_0/input_0.pb': raw,
      'test_data_set_0/input_1.pb': typed,
      'test_data_set_0/output_0.pb': raw,
    });
    const [sample] = await samplesOf(folder);
    expect(sample?.values.get('x')).toEqual({
      dataType: 'float32',
      dims: [1, 2],
      data: Float32Array.of(1.5, -2),
    });
    expect(sample?.values.get('n')?.data).toEqual(BigInt64Array.of(-3n));
    writeFileSync(join(folder, 'test_data_set_0/input_0.pb'), raw.subarray(0, 9));
    await expect(samplesOf(folder)).rejects.toThrow(/input_0\.pb: /);
  });
});

async function png(pixels: readonly number[], width: number, channels: 1 | 3): Promise<Buffer> {
  const height = pixels.length / width / channels;
  return sharp(Uint8Array.from(pixels), { raw: { width, height, channels } }).png().toBuffer();
}

describe('an image data set', () => {
  it('normalises pixels channel by channel in the order of the layout', async () => {
    // Two pixels: red and (0, 255, 51).
    const image = await png([255, 0, 0, 0, 255, 51], 2, 3);
    const yaml = 'kind: images\nfiles: [in/]\nmean: [0, 0.5, 0]\nstd: [1, 0.5, 2]\n';
    const folder = folderWith({ 'dataset.yaml': yaml, 'in/a.png': image });
    const [chw] = await samplesOf(folder);
    expect(chw?.values.get('pixel_values')?.dims).toEqual([3, 1, 2]);
    // (x / 255 - mean) / std: red 1 0, green -1 1, blue 0 0.1
    expect([...chw!.values.get('pixel_values')!.data]).toEqual([1, 0, -1, 1, 0, Math.fround(0.1)]);
    writeFileSync(join(folder, 'dataset.yaml'), `${yaml}layout: NHWC\n`);
    const [hwc] = await samplesOf(folder);
    expect(hwc?.values.get('pixel_values')?.dims).toEqual([1, 2, 3]);
    expect([...hwc!.values.get('pixel_values')!.data]).toEqual([1, -1, 0, 0, 1, Math.fround(0.1)]);
  });

  it('cuts the centre after resizing the shorter edge', async () => {
    // Columns 0 100 200 50, one row each of two: already 2 high, so resize 2 changes nothing.
    const image = await png([0, 100, 200, 50, 0, 100, 200, 50], 4, 1);
    const folder = folderWith({
      'dataset.yaml': 'kind: images\nfiles: [a.png]\nresize: 2\ncrop: 2\nchannels: 1\nrescale: 1\n',
      'a.png': image,
    });
    const [sample] = await samplesOf(folder);
    expect(sample?.values.get('pixel_values')).toMatchObject({ dims: [1, 2, 2] });
    expect([...sample!.values.get('pixel_values')!.data]).toEqual([100, 200, 100, 200]);
  });

  it('finds classes by file name, in list files and in order', async () => {
    const image = await png([1, 2, 3, 4], 2, 1);
    const folder = folderWith({
      'dataset.yaml': 'kind: images\nfiles: [list.txt]\nheldOut: [t/]\nlabels: labels.txt\n',
      'list.txt': 't/b.png 5\nt/a.png\n',
      't/a.png': image,
      't/b.png': image,
      'labels.txt': 'a.png 3\n',
    });
    expect((await samplesOf(folder)).map(({ label }) => label)).toEqual([5, 3]);
    expect((await samplesOf(folder, 'heldOut')).map(({ label }) => label)).toEqual([3, undefined]);
    writeFileSync(join(folder, 'labels.txt'), '8\n9\n');
    expect((await samplesOf(folder, 'heldOut')).map(({ label }) => label)).toEqual([8, 9]);
  });

  it("follows the model's preprocessor where it says nothing itself", async () => {
    const folder = folderWith({
      'set/dataset.yaml': 'kind: images\nfiles: [a.png]\n',
      'set/a.png': await png(new Array(36).fill(255), 6, 1),
      'preprocessor_config.json': JSON.stringify({
        do_resize: true,
        size: { height: 4, width: 2 },
        image_mean: [0.5, 0.5, 0.5],
        image_std: [0.5, 0.5, 0.5],
      }),
    });
    const preprocessor = join(folder, 'preprocessor_config.json');
    const [sample] = await samplesOf(join(folder, 'set'), 'calibration', { preprocessor });
    const value = sample!.values.get('pixel_values')!;
    expect(value.dims).toEqual([3, 4, 2]);
    expect(new Set(value.data as Float32Array)).toEqual(new Set([1]));
  });
});

describe('the committed data sets', () => {
  it('hold the same pictures as images and as tensors', async () => {
    const images = await samplesOf(`${root}/calibration/fashion-images`);
    const tensors = await samplesOf(`${root}/calibration/fashion-mnist`);
    expect([images.length, tensors.length]).toEqual([64, 128]);
    for (const { index, values } of images) {
      const pixels = values.get('pixel_values')!;
      const expected = tensors[index]!.values.get('pixel_values')!;
      expect(pixels.dims).toEqual(expected.dims);
      const difference = Array.from(pixels.data as Float32Array, (value, at) =>
        Math.abs(value - Number(expected.data[at])),
      );
      // Both are (x / 255 - 0.286) / 0.353, |value| < 2.1, rounded to float32 at different steps.
      expect(Math.max(...difference)).toBeLessThan(1e-6);
    }
  });

  it('are held out with their classes', async () => {
    const [image] = await samplesOf(`${root}/calibration/fashion-images`, 'heldOut');
    const [tensor] = await samplesOf(`${root}/calibration/fashion-mnist`, 'heldOut');
    expect(image?.label).toBe(tensor?.label);
    expect(image?.label).toBe(9);
  });
});

describe('bare data', () => {
  it('is split 80/20: every fifth sample is held out', async () => {
    const folder = folderWith({
      'x.npy': npy('|i1', [10, 1], Int8Array.from([...Array(10).keys()])),
    });
    const path = join(folder, 'x.npy');
    const values = async (split: Split): Promise<number[]> =>
      (await samplesOf(path, split)).map((sample) => Number(sample.values.get('x')!.data[0]));
    expect(await values('calibration')).toEqual([0, 1, 2, 3, 5, 6, 7, 8]);
    expect(await values('heldOut')).toEqual([4, 9]);
  });

  it('may be a folder of images', async () => {
    const image = await png([1, 2, 3, 4], 2, 1);
    const names = ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}.png`);
    const folder = folderWith(Object.fromEntries(names.map((name) => [name, image])));
    const set = await openDataset(folder);
    expect([await set.count('calibration'), await set.count('heldOut')]).toEqual([4, 1]);
  });

  it('that cannot be read is refused with what could be', async () => {
    const folder = folderWith({ 'x.csv': '1,2' });
    await expect(openDataset(join(folder, 'x.csv'))).rejects.toThrow(/got \.csv, expected \.txt/);
    await expect(openDataset(folder)).rejects.toThrow(/no image/);
    await expect(openDataset(join(folder, 'absent'))).rejects.toThrow(UsageError);
  });
});

describe('dataset.yaml', () => {
  const refuse = async (yaml: string, message: RegExp): Promise<void> => {
    const folder = folderWith({ 'dataset.yaml': yaml, 'a.txt': 'text' });
    await expect(openDataset(folder)).rejects.toThrow(UsageError);
    await expect(openDataset(folder)).rejects.toThrow(message);
  };

  it('that is wrong is refused by file, line and key, with the nearest known', async () => {
    await refuse('kind: txt\nfiles: [a.txt]\n', /dataset\.yaml:1: kind: .*got "txt".*"text"/);
    await refuse(
      'kind: text\nfiles: [a.txt]\nsequenceLenght: 5\n',
      /:3: unknown key "sequenceLenght".*Did you mean "sequenceLength"/,
    );
    await refuse('kind: text\nfiles: [a.txt]\nresize: 5\n', /:3: unknown key "resize"/);
    await refuse('kind: text\nfiles: [a.txt]\nsamples: 0\n', /:3: samples: /);
    await refuse('kind: text\nfiles: [b.txt]\ntokenizer: bytes\n', /b\.txt does not exist/);
    await refuse(
      'kind: text\nfiles: [a.txt]\ntokenizer: .\n',
      /\. is a folder \(expected a file\)/,
    );
  });

  it('cannot reach outside its folder, nor through a link', async () => {
    const outside = folderWith({ 'secret.txt': 'secret' });
    const folder = folderWith({ 'dataset.yaml': BYTES_YAML, 'b.txt': '' });
    symlinkSync(join(outside, 'secret.txt'), join(folder, 'a.txt'));
    await expect(openDataset(folder)).rejects.toThrow(/outside the data set's folder/);
    await refuse(
      `kind: text\nfiles: ['../../etc/passwd']\ntokenizer: bytes\n`,
      /(outside|does not exist)/,
    );
    await refuse('kind: text\nfiles: [/etc/passwd]\ntokenizer: bytes\n', /outside/);
  });
});

describe('the hash of a data set', () => {
  it('follows content and settings, not the place', async () => {
    const folder = folderWith({ 'dataset.yaml': BYTES_YAML, 'a.txt': 'abcdefgh', 'b.txt': 'x' });
    const copy = folderWith({});
    cpSync(folder, copy, { recursive: true });
    const { hash } = await openDataset(folder);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect((await openDataset(copy)).hash).toBe(hash);
    expect((await openDataset(folder, { sequenceLength: 8 })).hash).not.toBe(hash);
    expect((await openDataset(folder, { samples: 1 })).hash).not.toBe(hash);
    writeFileSync(join(folder, 'a.txt'), 'abcdefgi');
    expect((await openDataset(folder)).hash).not.toBe(hash);
  });
});
