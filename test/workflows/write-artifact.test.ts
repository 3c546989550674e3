import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  calibrateModel,
  openDataset,
  openModelOnDisk,
  planCompression,
  quantize,
  writeArtifact,
} from '../../src/index.ts';
import { BUILT_IN_RECIPES } from '../../src/recipe/load.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const folder = sharedFolder();
const model = join(root, 'fixtures/vit-fashion/optimum');
const data = join(root, 'calibration/fashion-images');
const source = await openModelOnDisk(model);
const calibration = await calibrateModel(source, await openDataset(data));

it.each([...BUILT_IN_RECIPES.keys()])(
  'the library writes the bytes of the command line by recipe %s',
  async (recipe) => {
    const [own, typed] = [join(folder, recipe), join(folder, `${recipe}-typed`)];
    const { plan } = await planCompression(source.model, { recipe, calibration });
    const written = await writeArtifact(own, source, plan, { target: 'onnx', data: { data } });
    await quantize({ model, data, recipe, output: typed }, silent);
    const bytes = readFileSync(join(own, written.lowered.entry));
    expect(bytes.equals(readFileSync(join(typed, 'model.onnx')))).toBe(true);
  },
);
