import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { validateMil } from '../../src/formats/coreml/validate.ts';
import { readFolder } from '../kit/coreml-package.ts';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { inTemporaryFolder } from '../kit/temporary-folder.ts';

const VIT = join(root, 'fixtures/vit-fashion/optimum');
const IMAGES = join(root, 'calibration/fashion-mnist');
const EXPORT = ['export', VIT, '--target', 'coreml', '--data', IMAGES];
const SHAPE = ['--shape', 'pixel_values:1x1x28x28'];

describe('export --target coreml', () => {
  it.each(['w8a16', 'w8a8'])(
    'writes INT8 weights by recipe %s, and says that nothing has run them',
    (recipe) =>
      inTemporaryFolder(async (folder) => {
        const out = join(folder, 'out');
        const done = await spawnAutoglm([
          ...EXPORT,
          '--recipe',
          recipe,
          '--samples',
          '8',
          ...SHAPE,
          '-o',
          out,
        ]);
        expect(done.stderr + done.stdout).toMatch(/not verified: coreml/);
        expect(done.code).toBe(0);
        const program = await readFolder(join(out, 'model.mlpackage'));
        expect(validateMil(program)).toEqual([]);
        const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'));
        expect(manifest.verified).toEqual([]);
        const compressed = program.functions[0]!.operations.filter(({ type }) =>
          type.startsWith('constexpr_'),
        );
        expect(compressed.length).toBeGreaterThan(10);
        expect(compressed).toHaveLength(manifest.layers.w8a16);
      }),
    120_000,
  );

  it(
    'asks for sizes that neither names nor shapes tell (exit 5), and leaves nothing',
    () =>
      inTemporaryFolder(async (folder) => {
        const out = join(folder, 'out');
        const done = await spawnAutoglm([...EXPORT, '--recipe', 'w8a16', '-o', out]);
        expect(done.code).toBe(5);
        expect(done.stderr).toMatch(
          /num_channels, height, width .*--shape pixel_values:1x64x64x64/,
        );
        expect(() => readFileSync(join(out, 'manifest.json'))).toThrow();
      }),
    60_000,
  );
});
