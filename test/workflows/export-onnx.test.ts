import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openModel } from '../../src/storage/model-file.ts';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

it('export --target onnx names the data as transformers.js asks, whatever the source calls its own', async () => {
  const source = join(temporaryFolder(), 'genai');
  cpSync(join(root, 'fixtures/glm-nano/genai'), source, { recursive: true });
  expect(readdirSync(source)).toContain('model.onnx.data');
  const out = join(source, '../out');
  const data = ['--data', join(root, 'calibration/text'), '--samples', '1'];
  const args = ['export', source, '--target', 'onnx', '--recipe', 'w8a16', ...data];
  const { code, stderr } = await spawnAutoglm([...args, '--sequence-length', '16', '-o', out]);
  expect(code, stderr).toBe(0);
  expect(readdirSync(join(out, 'onnx')).sort()).toEqual([
    'model_quantized.onnx',
    'model_quantized.onnx_data',
  ]);
  const { storage } = await openModel(join(out, 'onnx', 'model_quantized.onnx'));
  expect(storage.files).toEqual(['model_quantized.onnx_data']);
});
