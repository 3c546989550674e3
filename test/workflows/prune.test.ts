import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readManifest } from '../../src/artifact/manifest.ts';
import { openModelOnDisk } from '../../src/artifact/model-on-disk.ts';
import { openOrigin } from '../../src/artifact/origin.ts';
import { FormatError, UnsupportedError, UsageError } from '../../src/errors.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { check } from '../../src/workflows/check.ts';
import { type PruneOptions, prune } from '../../src/workflows/prune.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { sharedFolder, temporaryFolder } from '../kit/temporary-folder.ts';

const TEXT = shortText();

/** The calibration text with eight held-out windows: the check is not what is tested. */
function shortText(): string {
  const folder = sharedFolder();
  const text = readFileSync(join(root, 'calibration/text/heldout.txt'));
  writeFileSync(join(folder, 'heldout.txt'), text.subarray(0, 8 * 256));
  cpSync(join(root, 'calibration/text/calib.txt'), join(folder, 'calib.txt'));
  cpSync(join(root, 'calibration/text/dataset.yaml'), join(folder, 'dataset.yaml'));
  return folder;
}

async function pruneInto(folder: string, options: Partial<PruneOptions>) {
  return prune({ model: join(root, 'fixtures', folder), latency: false, ...options }, silent);
}

function bytesIn(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('base64')]),
  );
}

describe('prune', () => {
  it('writes a smaller model whose outputs are those of the masked original, bit for bit', async () => {
    const output = temporaryFolder();
    const result = await pruneInto('vit-fashion/optimum', {
      output,
      amount: 0.25,
      importance: 'l1',
      recover: 'none',
      data: join(root, 'calibration/fashion-mnist'),
      samples: 4,
    });
    const { pruning } = result;
    // 3 layers x (1 of 4 heads of 16, 32 of 128 hidden channels) of width 64, with biases on q, k, v and fc1.
    const perHead = 3 * (64 * 16 + 16) + 16 * 64;
    const perChannel = 64 + 1 + 64;
    expect(pruning!.parametersBefore - pruning!.parametersAfter).toBe(
      3 * (perHead + 32 * perChannel),
    );
    expect(pruning!.proof).toMatch(
      /^all 10 outputs equal those of the masked original bit for bit$/,
    );
    expect(pruning).toMatchObject({ groups: 6, amount: 0.25 });
    const files = (await readManifest(output)).files.map(({ file }) => file);
    expect(files).toContain('pruning.json');
    const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ num_attention_heads: 3, head_dim: 16, intermediate_size: 96 });
  });

  it('gives the same bytes twice', async () => {
    const [first, second] = [temporaryFolder(), temporaryFolder()];
    const options = { amount: 0.2, data: TEXT, samples: 4, sequenceLength: 64 };
    await pruneInto('glm-nano/genai', { ...options, output: first });
    await pruneInto('glm-nano/genai', { ...options, output: second });
    expect(bytesIn(first)).toEqual(bytesIn(second));
  });

  it('of nothing gives the bytes of the source', async () => {
    const output = temporaryFolder();
    await pruneInto('glm-nano/genai', { output, amount: 0 });
    for (const name of ['model.onnx', 'model.onnx.data', 'config.json', 'genai_config.json']) {
      const source = readFileSync(join(root, 'fixtures/glm-nano/genai', name));
      expect(readFileSync(join(output, name)).equals(source), name).toBe(true);
    }
  });

  it('with data ranks by obs, recovers, and is closer to the source than without', async () => {
    const options = {
      amount: 0.2,
      data: TEXT,
      samples: 16,
      sequenceLength: 256,
      targets: ['ffn'] as const,
    };
    const kl = async (given: Partial<PruneOptions>) => {
      const result = await pruneInto('glm-nano/genai', {
        ...options,
        targets: ['ffn'],
        output: temporaryFolder(),
        ...given,
      });
      return { ...result, kl: result.check!.accuracy!.languageModel!.klNats! };
    };
    const [plain, recovered] = [await kl({ importance: 'l1', recover: 'none' }), await kl({})];
    expect(recovered.plan.importance).toBe('obs');
    expect(recovered.recovered!.filter(({ damping }) => damping !== null).length).toBeGreaterThan(
      0,
    );
    expect(plain.recovered).toEqual([]);
    const { recovered: none } = await kl({ recover: 'none' });
    expect(none).toEqual([]);
    expect(recovered.kl).toBeLessThan(0.5 * plain.kl);
  });

  it('warns that weights alone may choose badly, and plans without writing anything', async () => {
    const { plan, warnings, folder } = await pruneInto('glm-nano/optimum', { dryRun: true });
    expect(folder).toBeNull();
    expect(plan.importance).toBe('l1');
    expect(warnings[0]).toMatch(/^Ranked by weights alone/);
    const heads = plan.groups.filter(({ kind }) => kind === 'heads');
    expect(heads[0]!.reason).toBe(
      '4 query heads share 2 key heads: the smallest even step is 50 %',
    );
  });

  it('is refused where nothing can go, naming the node in the way', async () => {
    const folder = temporaryFolder();
    const whole = model({
      nodes: [
        node('LayerNormalization', ['x', 'gamma'], 'normed'),
        node('MatMul', ['normed', 'w'], 'y'),
      ],
      initializers: [floats('gamma', [4], noise(1, 4)), floats('w', [4, 2], noise(2, 8))],
      inputs: [value('x', 'float32', ['n', 4])],
      outputs: [value('y', 'float32', ['n', 2])],
    });
    await saveModel(whole, join(folder, 'model.onnx'));
    const run = prune({ model: folder, output: temporaryFolder(), importance: 'l1' }, silent);
    await expect(run).rejects.toThrow(UnsupportedError);
    await expect(run).rejects.toThrow(
      /normed\/LayerNormalization: it normalises over the channels/,
    );
  });

  it('refuses settings that make no sense in one sentence', async () => {
    const run = pruneInto('vit-fashion/optimum', { output: temporaryFolder(), layers: 'first' });
    await expect(run).rejects.toThrow(UsageError);
    await expect(run).rejects.toThrow(/^--layers: is no range of layers/);
  });
});

describe('after pruning', () => {
  it('everything is checked against the export as it came', async () => {
    const [pruned, quantized] = [temporaryFolder(), temporaryFolder()];
    const data = { data: TEXT, samples: 4, sequenceLength: 64 };
    await pruneInto('glm-nano/genai', { output: pruned, amount: 0.2, targets: ['ffn'] });
    await quantize({ model: pruned, output: quantized, recipe: 'w8a8', ...data }, silent);
    const found = await check(
      { artifact: quantized, device: 'cpu', gates: [], latency: false, ...data },
      silent,
    );
    const source = await openModelOnDisk(join(root, 'fixtures/glm-nano/genai'));
    expect(found.source.sha256).toBe(await source.sha256());
    expect(found.fusion).toMatchObject({ fused: 31, planned: 31 });
  });

  it('an export that has changed since is not taken for the origin', async () => {
    const source = join(temporaryFolder(), basename('optimum'));
    cpSync(join(root, 'fixtures/vit-fashion/optimum'), source, { recursive: true });
    const pruned = temporaryFolder();
    await prune({ model: source, output: pruned, amount: 0.25 }, silent);
    expect((await openOrigin(await openModelOnDisk(pruned))).folder).toBe(source);
    const other = join(root, 'fixtures/vit-fashion/dynamo-opset18');
    for (const name of readdirSync(other)) cpSync(join(other, name), join(source, name));
    writeFileSync(join(source, 'note.txt'), 'changed');
    await expect(openOrigin(await openModelOnDisk(pruned))).rejects.toThrow(FormatError);
  });
});
