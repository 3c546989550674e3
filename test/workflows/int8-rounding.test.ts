import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { calibrate } from '../../src/workflows/calibrate.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { listeningReporter, silent } from '../kit/reporters.ts';
import { writeSmall } from '../kit/small-files.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const options = {
  model: join(root, 'fixtures/vit-fashion/optimum'),
  data: join(root, 'calibration/fashion-images'),
  samples: 16,
};

function recipe(text: string): string {
  const path = join(temporaryFolder(), 'recipe.yaml');
  writeFileSync(path, `name: mine\n${text}`);
  return path;
}

const NEAREST = 'weights: { rounding: rtn }\n';

function bytesOf(folder: string): Buffer {
  return readFileSync(join(folder, 'model.onnx'));
}

describe('INT8 weights', () => {
  it('are rounded by GPTQ with data, and to nearest, which is said, with ranges alone', async () => {
    const folder = temporaryFolder();
    await calibrate({ ...options, tables: [], output: join(folder, 'cal') }, silent);
    const calibration = join(folder, 'cal');
    const said = listeningReporter();
    const { data: _, ...blind } = options;
    await quantize({ ...blind, calibration, recipe: 'w8a8', output: join(folder, 'a') }, said);
    expect(said.notes.join('\n')).toMatch(/rounded to nearest, because a calibration file has/);
    const nearest = recipe(NEAREST);
    await quantize({ ...options, recipe: nearest, output: join(folder, 'b') }, silent);
    await quantize({ ...options, recipe: 'w8a8', output: join(folder, 'c') }, silent);
    expect(bytesOf(join(folder, 'a')).equals(bytesOf(join(folder, 'b')))).toBe(true);
    expect(bytesOf(join(folder, 'a')).equals(bytesOf(join(folder, 'c')))).toBe(false);
  });

  it.each(['', 'weights: { rounding: gptq }\n', 'weights: { rounding: mse }\n'])(
    'stand beside 4-bit ones, which still want data (%j)',
    async (weights) => {
      const folder = temporaryFolder();
      const mixed = recipe(`${weights}rules: [{ role: down, scheme: w4a16 }]\n`);
      const output = join(folder, 'a');
      const { plan } = await quantize({ ...options, recipe: mixed, output }, silent);
      expect(plan.totals.layers).toMatchObject({ w4a16: 3 });
      expect(plan.totals.layers.w8a8).toBeGreaterThan(8);
      await calibrate({ ...options, tables: [], output: join(folder, 'cal') }, silent);
      const { data: _, ...blind } = options;
      await expect(
        quantize(
          { ...blind, calibration: join(folder, 'cal'), recipe: mixed, output: join(folder, 'b') },
          silent,
        ),
      ).rejects.toThrow(UsageError);
    },
  );

  it('are rounded by the rows that are finite where some are not', async () => {
    const [rows, width] = [24, 32];
    const values = noise(9, 4 * rows * width);
    values[5] = Number.POSITIVE_INFINITY;
    values[rows * width + 7] = Number.NaN;
    const matrix = (name: string) => floats(name, [width, width], noise(name.length, width ** 2));
    const source = model({
      nodes: [node('MatMul', ['x', 'first'], 'a'), node('Tanh', ['a'], 'y')],
      initializers: [matrix('first')],
      inputs: [value('x', 'float32', ['n', rows, width])],
      outputs: [value('y', 'float32', ['n', rows, width])],
    });
    const files = await writeSmall(source, { dims: [4, rows, width], values });
    for (const scheme of ['w8a8', 'w4a16']) {
      const rules = recipe(`head: w8a8\nrules: [{ match: "", scheme: ${scheme} }]\n`);
      const output = join(files.folder, scheme);
      const { plan } = await quantize({ ...files, recipe: rules, output }, silent);
      expect(plan.layers.map((layer) => layer.scheme)).toEqual([scheme]);
    }
  });
});
