import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { QuantizeOutcome } from '../../src/artifact/results.ts';
import { exportModel } from '../../src/workflows/export.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { runPipeline } from '../../src/workflows/run.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const folder = sharedFolder();
const model = join(root, 'fixtures/vit-fashion/optimum');
const data = join(root, 'calibration/fashion-images');
const output = join(folder, 'out');

/** Runs the pipeline with these exports; returns the state of each stage by its folder. */
async function run(exports: string, recipe = 'w8a8'): Promise<Record<string, string>> {
  const config = join(folder, 'autoglm.yaml');
  const lines = [
    `{ model: ${model}, data: ${data}, output: ${output},`,
    `calibrate: { samples: 16 }, quantize: { recipe: ${recipe} },`,
    `check: { samples: 8, latency: false }, export: ${exports} }`,
  ];
  writeFileSync(config, lines.join('\n'));
  const { stages } = await runPipeline({ config, resume: true }, silent);
  return Object.fromEntries(
    stages.map((stage) => [stage.folder.slice(output.length + 1), stage.state]),
  );
}

const DONE = { calibrate: 'done', quantize: 'done', check: 'done' };
const KEPT = { calibrate: 'up to date', quantize: 'up to date', check: 'up to date' };

describe('quantize', () => {
  it('returns the same document by a config and by a model, but for where things lie', async () => {
    const config = join(folder, 'same.yaml');
    const own = join(folder, 'by-config');
    const lines = [
      `model: ${model}`,
      `data: ${data}`,
      `output: ${own}`,
      'calibrate: { samples: 16 }',
    ];
    writeFileSync(config, lines.join('\n'));
    const byModel = { model, data, samples: 16, output: join(folder, 'by-model') };
    expect(placeless(await quantize({ config }, silent))).toEqual(
      placeless(await quantize(byModel, silent)),
    );
  });
});

/** A result without paths, and without the files that only one way leaves in the folder of the model. */
function placeless({ folder: _, manifest, ...result }: QuantizeOutcome): unknown {
  const { source, data: set, files, ...rest } = manifest!;
  const models = files.filter(({ file }) => file !== 'calibration.json');
  const printed = { ...rest, files: models, source: source.sha256, data: set?.sha256 };
  return JSON.parse(JSON.stringify({ ...result, manifest: printed }));
}

describe('several exports of one config', () => {
  it('are made in one run, and none is made again when another changes or goes', async () => {
    const both = '{ tensorrt: {}, onnx: {} }';
    expect(await run(both)).toEqual({ ...DONE, tensorrt: 'done', onnx: 'done' });
    expect(await run(both)).toEqual({ ...KEPT, tensorrt: 'up to date', onnx: 'up to date' });
    expect(await run('{ onnx: {} }')).toEqual({ ...KEPT, onnx: 'up to date' });
    // The old form is the same export.
    expect(await run('{ target: onnx }')).toEqual({ ...KEPT, onnx: 'up to date' });
    expect(readdirSync(output)).toContain('tensorrt');
    const shaped = '{ onnx: {}, tensorrt: { shape: ["pixel_values:1x1x28x28"] } }';
    expect(await run(shaped)).toEqual({ ...KEPT, onnx: 'up to date', tensorrt: 'done' });
  });

  it('the one to onnx has the bytes of an export that quantizes by itself', async () => {
    const alone = join(folder, 'alone');
    await exportModel(
      {
        ...{ model, target: 'onnx', data, samples: 16, output: alone },
        calibration: join(output, 'calibrate'),
      },
      silent,
    );
    const bytes = (of: string) => readFileSync(join(of, 'onnx/model_quantized.onnx'));
    expect(bytes(join(output, 'onnx')).equals(bytes(alone))).toBe(true);
  });

  it.each([
    ['{ target: onnx, tensorrt: {} }', 'either "target" or a section for each target, not both'],
    ['{ shape: [x:1] }', 'a shape belongs into the section of its target'],
    ['{ onyx: {} }', 'Did you mean "onnx"?'],
    ['{ target: mnm }', 'target: not a known value'],
  ])('%s is refused', async (exports, message) => {
    await expect(run(exports)).rejects.toThrow(message);
  });
});
