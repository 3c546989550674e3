import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { fixture, runModel, textFeeds } from '../kit/run-model.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const options = {
  model: join(root, 'fixtures/glm-nano/genai'),
  data: join(root, 'calibration/text'),
  samples: 8,
  sequenceLength: 128,
};

function recipeWith(rounding: string): string {
  const text = readFileSync(join(root, 'configs/recipes/w4a16-g128.yaml'), 'utf8');
  const path = join(temporaryFolder(), 'recipe.yaml');
  writeFileSync(path, text.replace('rounding: gptq', `rounding: ${rounding}`));
  return path;
}

/** Mean KL divergence in nats from the source, over 1,024 held-out bytes. */
async function divergence(path: string): Promise<number> {
  const logitsOf = async (model: Awaited<ReturnType<typeof openModel>>) =>
    (await runModel(model, textFeeds(model, 'heldout.txt', 8, 128))).outputs.get('logits')!;
  const source = await logitsOf(await fixture('glm-nano/genai'));
  const found = await logitsOf(await openModel(path));
  let sum = 0;
  for (let start = 0; start < source.length; start += 256) {
    const p = logSoftmax(source.subarray(start, start + 256));
    const q = logSoftmax(found.subarray(start, start + 256));
    p.forEach((value, index) => {
      sum += Math.exp(value) * (value - q[index]!);
    });
  }
  return sum / (source.length / 256);
}

function logSoftmax(logits: Float32Array): Float64Array {
  const top = Math.max(...logits);
  const total = logits.reduce((sum, value) => sum + Math.exp(value - top), 0);
  return Float64Array.from(logits, (value) => value - top - Math.log(total));
}

describe('quantize --recipe w4a16-g128', () => {
  it('by GPTQ loses at most 0.6 of what rounding to nearest does, and leaves no moments behind', async () => {
    const scratch = temporaryFolder();
    vi.stubEnv('TMPDIR', scratch);
    const nearest = temporaryFolder();
    const gptq = temporaryFolder();
    await quantize({ ...options, recipe: recipeWith('rtn'), output: nearest }, silent);
    const result = await quantize({ ...options, recipe: 'w4a16-g128', output: gptq }, silent);
    expect(result.fusion?.unfused).toEqual([]);
    expect(result.plan.totals.layers).toMatchObject({ w4a16: 30, w8a16: 1, w8a8: 0 });
    expect(result.manifest?.data?.sha256).toMatch(/^[0-9a-f]{64}$/);
    const ratio =
      (await divergence(join(gptq, 'model.onnx'))) /
      (await divergence(join(nearest, 'model.onnx')));
    expect(ratio).toBeLessThanOrEqual(0.6);
    const left = readdirSync(scratch).filter((name) => name.startsWith('autoglm-moments-'));
    expect(left).toEqual([]);
    vi.unstubAllEnvs();
  });

  it('gives the same bytes twice', async () => {
    const [first, second] = [temporaryFolder(), temporaryFolder()];
    for (const output of [first, second]) {
      await quantize({ ...options, samples: 2, recipe: 'w4a16-g32', output }, silent);
    }
    for (const name of ['model.onnx', 'model.onnx.data', 'quantization.json']) {
      expect(readFileSync(join(first, name)).equals(readFileSync(join(second, name)))).toBe(true);
    }
  });

  it('says that it needs data, unless weights are rounded to nearest', async () => {
    const { data: _, ...without } = options;
    const output = temporaryFolder();
    await expect(quantize({ ...without, recipe: 'w4a16-g64', output }, silent)).rejects.toThrow(
      UsageError,
    );
    expect(readdirSync(output)).toEqual([]);
    const result = await quantize({ ...without, recipe: recipeWith('rtn'), output }, silent);
    expect(result.plan.totals.layers.w4a16).toBe(30);
  });
});
