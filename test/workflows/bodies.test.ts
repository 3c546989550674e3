import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { renderInspection } from '../../src/report/inspection.ts';
import { renderQuantization } from '../../src/report/quantization.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { inspect } from '../../src/workflows/inspect.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { noise } from '../kit/models.ts';
import { npy, npz } from '../kit/numpy-files.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { writeSmall } from '../kit/small-files.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { looped, merged } from '../quantize/body-models.ts';

const WIDTH = 64;
const SAMPLES = 6;

/** Writes the model, and samples of which those with an odd index use the cache, when any does. */
async function write(model: Model, usesCache: boolean) {
  const folder = temporaryFolder();
  const data = join(folder, 'data');
  await saveModel(model, join(folder, 'model.onnx'));
  mkdirSync(data);
  const choices = Uint8Array.from({ length: SAMPLES }, (_, at) => (usesCache ? at % 2 : 0));
  const arrays = {
    x: npy('<f4', [SAMPLES, 5, WIDTH], noise(1, SAMPLES * 5 * WIDTH)),
    past: npy('<f4', [SAMPLES, 1, WIDTH], noise(2, SAMPLES * WIDTH)),
    use_cache: npy('|b1', [SAMPLES, 1], choices),
  };
  writeFileSync(join(data, 'rows.npz'), npz(arrays, 0));
  writeFileSync(
    join(data, 'dataset.yaml'),
    'kind: tensors\nfiles: [rows.npz]\nheldOut: [rows.npz]\n',
  );
  return { folder, model: join(folder, 'model.onnx'), data, output: join(folder, 'out') };
}

describe('A merged decoder', () => {
  it('is calibrated and quantized in both branches by w8a8.', async () => {
    const files = await write(merged(), true);
    const { plan, fusion } = await quantize({ ...files, recipe: 'w8a8' }, listeningReporter());
    expect(plan.layers.map(({ scheme, reason }) => [scheme, reason])).toEqual([
      ...Array(6).fill(['w8a8', undefined]),
      ['w8a16', 'head'],
    ]);
    expect(fusion).toMatchObject({ planned: 7, fused: 7 });
  });

  it('has the range of the branch that was seen where all samples take one.', async () => {
    const files = await write(merged(), false);
    const { plan } = await quantize({ ...files, recipe: 'w8a8' }, listeningReporter());
    expect(plan.layers.slice(1, 3)).toMatchObject([
      { scheme: 'w8a8', reason: 'range of else_branch of If "decoder"' },
      { scheme: 'w8a8', reason: 'range of else_branch of If "decoder"' },
    ]);
  });

  it('is rounded by GPTQ with what its branches were seen to multiply.', async () => {
    const files = await write(merged(), true);
    const { plan, fusion } = await quantize({ ...files, recipe: 'w4a16-g32' }, listeningReporter());
    expect(plan.totals.layers).toMatchObject({ w4a16: 6, w8a16: 1, float: 0 });
    expect(fusion).toMatchObject({ planned: 7, fused: 7 });
  });

  it('is shown by inspect with its layers in bodies, in the result and on the terminal.', async () => {
    const files = await write(merged(), true);
    const inspection = await inspect({ model: files.model });
    expect(inspection.summary.bodies).toEqual([
      { body: 'then_branch of If "decoder"', layerCount: 3 },
      { body: 'else_branch of If "decoder"', layerCount: 3 },
    ]);
    const text = renderInspection(inspection, { width: 80 });
    expect(text).toContain('In bodies    3 in then_branch of If "decoder"');
  });
});

describe('Layers in the body of a Loop', () => {
  const samples = { dims: [4, WIDTH], values: noise(4, 4 * WIDTH) } as const;

  it('keep float activations in w8a8, and quantize says so.', async () => {
    const files = await writeSmall(looped(), samples);
    const reporter = listeningReporter();
    const output = join(files.folder, 'out');
    const result = await quantize({ ...files, output, recipe: 'w8a8' }, reporter);
    expect(result.plan.layers).toMatchObject([{ scheme: 'w8a8' }, { scheme: 'w8a16' }]);
    expect(reporter.warnings).toContain(
      'Linear layers in bodies of Loop and Scan are not observed: 1 in body of Loop "/y/Loop".',
    );
    expect(renderQuantization(result)).toContain('no calibrated range for state');
  });

  it.each([
    ['w8a8', 'w8a16'],
    ['w8a8-dynamic', 'w8a8-dynamic'],
    ['w8a16', 'w8a16'],
    ['w4a16-g32', 'w8a16'],
  ] as const)('are quantized by %s where there is no other layer.', async (recipe, scheme) => {
    const files = await writeSmall(looped('Tanh'), samples);
    const output = join(files.folder, 'out');
    const { plan, fusion } = await quantize({ ...files, output, recipe }, listeningReporter());
    expect(plan.layers).toMatchObject([{ scheme }]);
    expect(fusion).toMatchObject({ planned: 1, fused: 1 });
  });

  it('are none that a budget could be searched among.', async () => {
    const files = await writeSmall(looped('Tanh'), samples);
    const output = join(files.folder, 'out');
    await expect(
      quantize({ ...files, output, recipe: 'w8a8', maxKl: 0.1 }, listeningReporter()),
    ).rejects.toThrow(
      'a budget is searched among layers of the main graph (got 1 quantized layers, all in bodies',
    );
  });

  it('have INT8 weights where 4 bits would want to know what they multiply.', async () => {
    const files = await writeSmall(looped(), samples);
    const output = join(files.folder, 'out');
    const { plan } = await quantize({ ...files, output, recipe: 'w4a16-g32' }, listeningReporter());
    expect(plan.layers).toMatchObject([
      { scheme: 'w4a16' },
      {
        scheme: 'w8a16',
        reason: 'lies in body of Loop "/y/Loop", where its input cannot be observed',
      },
    ]);
  });
});
