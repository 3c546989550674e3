import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const output = sharedFolder();

describe('verbs without a model, in the repository root', () => {
  it('quantize works from configs/autoglm.yaml', async () => {
    const { code, stdout, stderr } = await spawnAutoglm(['quantize', '--output', output]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`model: ${root}fixtures/glm-nano/optimum/model.onnx\n`);
    expect(stdout).toContain(`Files in ${output}/quantize\n`);
    expect(stdout).toContain('  manifest.json\n');
    // What a named model prints, too.
    expect(stdout).toMatch(/^Fused {8}37 of 37 quantized layers /m);
    expect(stdout).toMatch(/^INT8 pairs {3}worst 128 of 128/m);
  });

  it('export --target tensorrt goes on from there', async () => {
    const args = ['export', '--target', 'tensorrt', '--output', output, '--json'];
    const { code, stdout, stderr } = await spawnAutoglm(args);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`quantize: up to date in ${output}/quantize\n`);
    expect(JSON.parse(stdout)).toMatchObject({
      schema: 'autoglm.export/1',
      folder: join(output, 'tensorrt'),
      manifest: { target: 'tensorrt', artifact: 'model.int8.qdq.onnx' },
    });
    expect(readdirSync(output).sort()).toEqual(['calibrate', 'quantize', 'run.json', 'tensorrt']);
  });

  it('calibrate writes the tables that --format names', async () => {
    const args = ['calibrate', '--format', 'trt', 'ort', '--output', output, '--force', '--quiet'];
    expect(await spawnAutoglm(args)).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(join(output, 'calibrate')).sort()).toEqual([
      '.stage.json',
      'calibration-table.json',
      'calibration.cache',
      'calibration.flatbuffers',
      'calibration.json',
    ]);
    expect(readFileSync(join(output, 'calibrate', 'calibration.cache'), 'utf8')).toMatch(/^TRT-/);
  });

  it('--dry-run of each writes nothing', async () => {
    const before = readdirSync(output, { recursive: true }).sort();
    for (const verb of ['calibrate', 'quantize', 'export', 'run']) {
      const where = verb === 'run' ? [] : ['--output', output];
      const { code, stderr } = await spawnAutoglm([verb, '--dry-run', ...where]);
      expect(code, stderr).toBe(0);
    }
    expect(readdirSync(output, { recursive: true }).sort()).toEqual(before);
  });

  it('inspect shows the model of the config', async () => {
    const { stdout } = await spawnAutoglm(['inspect']);
    expect(stdout).toContain('Blocks       6 x attention');
  });
});
