import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createWeightKernel } from '../../src/numerics/weight-kernel.ts';
import { prepareModel } from '../../src/passes/prepare-model.ts';
import { recognize } from '../../src/structure/recognize.ts';
import { type CoremlOptions, lowerToCoreml } from '../../src/targets/coreml/lower.ts';
import { EXPORTS, fixtureSizes } from '../kit/coreml.ts';
import { writePackage } from '../kit/coreml-package.ts';
import { fixture } from '../kit/run-model.ts';
import { inTemporaryFolder } from '../kit/temporary-folder.ts';
import { pythonOrSkip, runPython } from './python-venv.ts';

const SCRIPT = fileURLToPath(new URL('coreml-accepts.py', import.meta.url));

interface Judged {
  readonly error?: string;
  readonly same_ops?: boolean;
  readonly same_weights?: boolean;
}

it('coremltools loads, types and validates every export, and writes the same operations and weights again', async () => {
  const python = await pythonOrSkip(['coremltools==9.0', 'numpy==1.26.4']);
  if (python === undefined) return;
  await inTemporaryFolder(async (folder) => {
    const paths: string[] = [];
    for (const path of EXPORTS) {
      const source = prepareModel(await fixture(path), path).model;
      const layers = new Set(recognize(source).linears.map(({ name }) => name));
      const int8 = { layers, kernel: createWeightKernel() };
      const forms: readonly Omit<CoremlOptions, 'sizes'>[] = [
        {},
        { minIos: 17, int8 },
        { minIos: 18, int8 },
      ];
      for (const [index, form] of forms.entries()) {
        const target = join(folder, `${path.replace('/', '-')}-${index}.mlpackage`);
        await writePackage(
          lowerToCoreml(source, { sizes: fixtureSizes(7), ...form }).program,
          target,
        );
        paths.push(target);
      }
    }
    const judged = JSON.parse(await runPython(python, [SCRIPT, ...paths])) as Record<
      string,
      Judged
    >;
    expect(Object.keys(judged)).toHaveLength(3 * EXPORTS.length);
    for (const [path, { error, same_ops, same_weights }] of Object.entries(judged)) {
      expect({ path, error, same_ops, same_weights }).toEqual({
        path,
        error: undefined,
        same_ops: true,
        same_weights: true,
      });
    }
  });
}, 900_000);
