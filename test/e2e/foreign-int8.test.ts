import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { saveModel } from '../../src/storage/model-file.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { ONNXRUNTIME_LOWERING } from '../../src/targets/onnx/lowering.ts';
import { root } from '../kit/paths.ts';
import { fixture } from '../kit/run-model.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { planFor } from '../quantize/fixture-plans.ts';

const NAME = 'vit-fashion/optimum';
const source = join(root, 'fixtures', NAME);
const data = join(root, 'calibration/fashion-mnist');

describe('an INT8 file that uses the whole of -127..127, as other tools write it', () => {
  it('is checked with a warning that names its layers, and fails the gate on pairs', async () => {
    const float = await fixture(NAME);
    const artifact = join(temporaryFolder(), 'model.onnx');
    const lowering = { ...ONNXRUNTIME_LOWERING, productWeights: 'full' } as const;
    const plan = await planFor(float, NAME, 'w8a8');
    await saveModel(applyQuantization(float, plan, { lowering }), artifact);
    const args = ['check', artifact, '--against', source, '--data', data, '--no-latency', '--json'];
    const { code, stdout } = await spawnAutoglm([...args, '--gate', 'maxUnsafePairs=0%']);
    expect(code).toBe(3);
    const check = JSON.parse(stdout);
    expect(check.saturation).toMatchObject({ products: 18, unsafeLayers: { length: 18 } });
    expect(check.saturation.worstPair).toBeGreaterThan(128);
    expect(check.runtime.saturatesPairs).toBeTypeOf('boolean');
    expect(check.warnings.join()).toMatch(
      check.runtime.saturatesPairs
        ? /saturate in 18 of 18 .* this machine saturates them/
        : /saturate in 18 of 18 .* this machine adds them exactly/,
    );
  });

  it('is what autoglm does not write: worst pair 128, in result and manifest', async () => {
    const output = join(temporaryFolder(), 'out');
    const args = ['quantize', source, '--data', data, '--samples', '8', '-o', output];
    const { code, stdout } = await spawnAutoglm(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/INT8 pairs +worst 12[78] of 128: no CPU saturates/);
    const manifest = JSON.parse(readFileSync(join(output, 'manifest.json'), 'utf8'));
    expect(manifest.saturation).toMatchObject({ products: 18, unsafePairs: 0, unsafeLayers: [] });
    const checked = await spawnAutoglm([
      'check',
      output,
      '--no-latency',
      '--gate',
      'maxUnsafePairs=0%',
    ]);
    expect(checked.code).toBe(0);
  });
});
