import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError, UsageError } from '../../src/errors.ts';
import { readTensorBytes } from '../../src/ir/tensor.ts';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import { filled, sumModel } from '../formats/onnx/make-model.ts';
import { modelDifference } from '../formats/onnx/model-difference.ts';
import { root } from '../kit/paths.ts';
import { runFile } from '../kit/run-file.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const model = sumModel([filled('a', 5000, 1), filled('b', 6000, 2)]);

describe('openModel', () => {
  it.each([
    ['model.onnx', ['model.onnx', 'other.onnx']],
    ['onnx/model.onnx', ['onnx/model.onnx', 'config.json']],
    ['single.onnx', ['single.onnx', 'readme.md']],
  ])('finds %s in a folder', async (expected, names) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'onnx'));
    for (const name of names) writeFileSync(join(folder, name), '{}');
    await saveModel(model, join(folder, expected));
    expect((await openModel(folder)).storage.modelFile).toBe(basename(expected));
  });

  it('finds the decoder of a genai folder', async () => {
    const folder = temporaryFolder();
    const config = { model: { decoder: { filename: 'decoder.onnx' } } };
    writeFileSync(join(folder, 'genai_config.json'), JSON.stringify(config));
    writeFileSync(join(folder, 'embedding.onnx'), '');
    await saveModel(model, join(folder, 'decoder.onnx'));
    expect((await openModel(folder)).storage.modelFile).toBe('decoder.onnx');
  });

  it('says what is wrong with a path that leads to no model', async () => {
    const folder = temporaryFolder();
    const missing = join(folder, 'none.onnx');
    await expect(openModel(missing)).rejects.toThrow(
      new UsageError(`${missing}: there is no such file or folder. Check the path.`),
    );
    await expect(openModel(folder)).rejects.toThrow(
      `${folder}: there is no model in this folder (expected model.onnx or onnx/model.onnx). Give an .onnx file.`,
    );
    for (const name of ['b.onnx', 'a.onnx']) writeFileSync(join(folder, name), '');
    await expect(openModel(folder)).rejects.toThrow(
      `${folder}: several models are in this folder (got a.onnx, b.onnx). Give one of the files.`,
    );
    writeFileSync(
      join(folder, 'genai_config.json'),
      '{"model":{"decoder":{"filename":"../x.onnx"}}}',
    );
    await expect(openModel(folder)).rejects.toThrow(FormatError);
  });

  it('notices that a weight file changed after it was opened', async () => {
    const path = join(temporaryFolder(), 'm.onnx');
    await saveModel(model, path, { externalData: 'always' });
    const opened = await openModel(path);
    writeFileSync(`${path}.data`, new Uint8Array(20_000));
    await expect(readTensorBytes(opened.graph.initializers.get('a')!)).rejects.toThrow(
      `${path}.data: the file changed while it was in use. Run the command again.`,
    );
  });
});

describe('saveModel', () => {
  it.each([
    ['model.onnx', ['model.onnx_data'], 'small.onnx', 'small.onnx_data'],
    ['model.onnx', ['model.onnx_data', 'model.onnx_data_1'], 'small.onnx', 'small.onnx_data'],
    ['model.onnx', ['model.onnx.data'], 'model_quantized.onnx', 'model_quantized.onnx.data'],
    ['decoder.onnx', ['model.onnx.data'], 'small.onnx', 'small.onnx.data'],
    ['model.onnx', ['weights.bin'], 'small.onnx', 'weights.bin'],
    ['model.onnx', ['onnx__MatMul_1', 'onnx__MatMul_2'], 'small.onnx', 'small.onnx.data'],
    ['model.onnx', ['model.onnx_data_1', 'model.onnx_data'], 'small.onnx', 'small.onnx_data'],
    // Named after weights, which may begin like the model.
    ['model.onnx', ['model.embed.weight', 'model.0.weight'], 'small.onnx', 'small.onnx.data'],
    ['model.onnx', ['data/w.bin'], 'small.onnx', 'small.onnx.data'],
  ])('of %s with %j writes %s with %s', async (modelFile, files, output, expected) => {
    const folder = temporaryFolder();
    const input = { ...model, storage: { external: true, files, modelFile } };
    expect(await saveModel(input, join(folder, output))).toEqual([
      join(folder, expected),
      join(folder, output),
    ]);
    expect(await modelDifference(model, await openModel(join(folder, output)))).toBeUndefined();
  });

  it("never takes the name of another model's weights", async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'model.onnx');
    await saveModel(model, path, { externalData: 'always', dataFileName: 'weights.bin' });
    await saveModel(await openModel(path), join(folder, 'small.onnx'));
    expect(readdirSync(folder).sort()).toEqual([
      'model.onnx',
      'small.onnx',
      'small.onnx.data',
      'weights.bin',
    ]);
    expect(await modelDifference(model, await openModel(path))).toBeUndefined();
  });

  it.each(['always', 'never'] as const)(
    'replaces the files it reads from (%s)',
    async (externalData) => {
      const folder = temporaryFolder();
      const path = join(folder, 'm.onnx');
      await saveModel(model, path, { externalData });
      const names = readdirSync(folder);
      const opened = await openModel(path);
      const [a, b] = [...opened.graph.initializers.values()];
      const swapped = {
        ...opened.graph,
        initializers: new Map([
          ['b', b!],
          ['a', a!],
        ]),
      };
      await saveModel({ ...opened, graph: swapped }, path, { externalData });
      expect(readdirSync(folder)).toEqual(names);
      const again = await openModel(path);
      expect([...again.graph.initializers.keys()]).toEqual(['b', 'a']);
      expect((await readTensorBytes(again.graph.initializers.get('a')!))[0]).toBe(1);
    },
  );

  it('leaves nothing behind and keeps old files when a weight cannot be read', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'm.onnx');
    await saveModel(model, path, { externalData: 'always' });
    const before = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'hex'));
    const source = { byteLength: 9000, read: () => Promise.reject(new Error('disk on fire')) };
    const broken = sumModel([
      filled('a', 5000, 1),
      { name: 'b', dataType: 'uint8', dims: [9000], source },
    ]);
    for (const externalData of ['always', 'never'] as const) {
      await expect(saveModel(broken, path, { externalData })).rejects.toThrow('disk on fire');
    }
    expect(readdirSync(folder).map((name) => readFileSync(join(folder, name), 'hex'))).toEqual(
      before,
    );
  });

  it('clears the temporary files of a killed run, and only those', async () => {
    const folder = temporaryFolder();
    // No process has this number: Linux ends at 2^22, macOS at 99,998.
    writeFileSync(join(folder, '.m.onnx.99999999.autoglm'), 'half');
    writeFileSync(join(folder, '.n.onnx.99999999.autoglm'), 'half');
    await saveModel(model, join(folder, 'm.onnx'));
    expect(readdirSync(folder).sort()).toEqual(['.n.onnx.99999999.autoglm', 'm.onnx']);
  });

  it('refuses a data file name that is a path or the model itself', async () => {
    const path = join(temporaryFolder(), 'm.onnx');
    for (const dataFileName of ['../w.bin', 'm.onnx']) {
      await expect(saveModel(model, path, { dataFileName })).rejects.toThrow(UsageError);
    }
  });
});

describe('referenceWeights', () => {
  const fixture = (name: string): string => join(root, `fixtures/${name}/model.onnx`);

  it.each(['glm-nano/genai', 'vit-fashion/torchscript-opset14'])(
    'points into the files of %s through hard links, and onnxruntime follows',
    async (name) => {
      const folder = temporaryFolder();
      const opened = await openModel(fixture(name));
      const files = await saveModel(opened, join(folder, 'part.onnx'), { referenceWeights: true });
      const link = files.find((file) => file.endsWith('.source-0'));
      const original = [...opened.graph.initializers.values()].find(
        ({ source }) => source.byteLength > 4096,
      );
      // Folders of tests may lie on another file system, where the fallback copies instead.
      if (link !== undefined) {
        expect(statSync(link).ino).toBe(statSync(original!.source.slice!.path).ino);
      }
      const part = await openModel(files.at(-1)!);
      expect(await modelDifference(opened, part)).toBeUndefined();
      expect(await runFile(files.at(-1)!)).toEqual(await runFile(fixture(name)));
    },
  );

  it('never writes through a link into the weights, whatever their file is called', async () => {
    const folder = temporaryFolder();
    await saveModel(model, join(folder, 'model.onnx'), {
      externalData: 'always',
      dataFileName: 'model.onnx.source-0',
    });
    const before = readFileSync(join(folder, 'model.onnx.source-0'));
    const opened = await openModel(join(folder, 'model.onnx'));
    const initializers = new Map([...opened.graph.initializers, ['c', filled('c', 7000, 3)]]);
    const extended = { ...opened, graph: { ...opened.graph, initializers } };
    await saveModel(extended, join(temporaryFolder(), 'part.onnx'), { referenceWeights: true });
    expect(readFileSync(join(folder, 'model.onnx.source-0')).equals(before)).toBe(true);
  });

  it('writes the weights that no file holds, and can be written twice', async () => {
    const folder = temporaryFolder();
    await saveModel(model, join(folder, 'in.onnx'), { externalData: 'always' });
    const opened = await openModel(join(folder, 'in.onnx'));
    const extra = filled('c', 7000, 3);
    const initializers = new Map([...opened.graph.initializers, ['c', extra]]);
    const extended = { ...opened, graph: { ...opened.graph, initializers } };
    for (let round = 0; round < 2; round++) {
      const files = await saveModel(extended, join(folder, 'out.onnx'), { referenceWeights: true });
      expect(files.map((file) => basename(file))).toEqual([
        'out.onnx.source-0',
        'out.onnx.data',
        'out.onnx',
      ]);
      expect(statSync(join(folder, 'out.onnx.data')).size).toBe(7000);
      expect(
        await modelDifference(extended, await openModel(join(folder, 'out.onnx'))),
      ).toBeUndefined();
    }
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});
