import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { runMain } from '../kit/run-main.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';
import { mnnPython } from './run-mnn.ts';

const folder = sharedFolder();
const model = join(root, 'fixtures/vit-fashion/optimum');
const data = join(root, 'calibration/fashion-images');
const output = join(folder, 'mnn');
const python = await mnnPython();
const before = process.env['AUTOGLM_MNN_PYTHON'];

describe.skipIf(python === undefined)('export --target mnn', () => {
  beforeAll(() => {
    process.env['AUTOGLM_MNN_PYTHON'] = python;
  });
  afterAll(() => {
    if (before === undefined) delete process.env['AUTOGLM_MNN_PYTHON'];
    else process.env['AUTOGLM_MNN_PYTHON'] = before;
  });

  it('writes a smoothed W8A8 plan and verifies it in the real runtime', async () => {
    const args = ['export', model, '--target', 'mnn', '--data', data, '--samples', '32'];
    const { code, text } = await runMain(...args, '-o', output);
    expect(code, text).toBe(0);
    const { manifest, check } = JSON.parse(text);
    expect(manifest).toMatchObject({
      target: 'mnn',
      artifact: 'model.mnn',
      layers: { w8a8: 18 },
      verified: [{ runner: 'mnn', device: 'cpu', seen: 'accuracy and latency (check.json)' }],
      notVerified: [],
    });
    expect(check.runtime.runner).toBe('MNN 3.6.1');
    expect(check.accuracy.classification.agreement).toBeGreaterThan(0.96);
    const bytes = ['model.mnn', 'model.mnn.weight'].map(
      (name) => readFileSync(join(output, name)).length,
    );
    expect(bytes[0]! + bytes[1]!).toBeLessThan(170_000);
  });

  it('is checked again with INT8 activations, which MNN rounds itself', async () => {
    const args = [
      'check',
      output,
      '--against',
      model,
      '--data',
      data,
      '--samples',
      '32',
      '--no-latency',
    ];
    const { code, text } = await runMain(...args, '--device', 'cpu-low-memory');
    expect(code, text).toBe(0);
    const { accuracy, device } = JSON.parse(text);
    expect(device.id).toBe('cpu-low-memory');
    expect(accuracy.classification.agreement).toBeGreaterThan(0.9);
  });

  it('says what to type where no Python has MNN, and calls nothing verified', async () => {
    process.env['AUTOGLM_MNN_PYTHON'] = process.execPath;
    const args = ['export', model, '--target', 'mnn', '--recipe', 'w8a16', '--data', data];
    const { code, text } = await runMain(...args, '--samples', '8', '-o', join(folder, 'alone'));
    process.env['AUTOGLM_MNN_PYTHON'] = python;
    expect(code, text).toBe(0);
    const { manifest, check } = JSON.parse(text);
    expect(check).toBeNull();
    expect(manifest.verified).toEqual([]);
    expect(manifest.notVerified[0]).toMatch(/pip install MNN==3\.6\.1 numpy.*written, not run/);
  });

  it('is told of by doctor, with the Python that has it or what to type', async () => {
    const found = JSON.parse((await runMain('doctor')).text);
    expect(found.mnn).toEqual({ version: '3.6.1', python });
    process.env['AUTOGLM_MNN_PYTHON'] = process.execPath;
    const missing = JSON.parse((await runMain('doctor')).text);
    process.env['AUTOGLM_MNN_PYTHON'] = python;
    expect(missing.mnn.reason).toMatch(/has no MNN .*pip install MNN==3\.6\.1 numpy/);
  });

  it('refuses an artifact whose weights are damaged or gone', async () => {
    writeFileSync(join(output, 'model.mnn.weight'), new Uint8Array(10));
    const { code, text } = await runMain('check', output, '--against', model, '--data', data);
    expect(code).toBe(4);
    expect(text).toMatch(/its weight lies outside the \.weight file/);
  });
});
