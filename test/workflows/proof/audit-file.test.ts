import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { planQuantization } from '../../../src/quantize/plan.ts';
import type { ActivationRange } from '../../../src/quantize/quantization-plan.ts';
import { builtInRecipe } from '../../../src/recipe/load.ts';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { findLinears } from '../../../src/structure/find-linears.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { auditFile } from '../../../src/workflows/proof/audit-file.ts';
import { root } from '../../kit/paths.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

it.each([
  ['glm-nano/optimum', 'w8a8'],
  ['glm-nano/genai', 'w8a16'],
  ['vit-fashion/torchscript-opset14', 'w8a8'],
])('the audit of %s as %s sees the same fusions block by block', async (name, recipe) => {
  const source = await openModel(join(`${root}fixtures`, name));
  const range: ActivationRange = { min: -4, max: 4, calibrator: 'minmax' };
  const ranges = new Map(findLinears(source).map(({ input }) => [input, range]));
  const plan = planQuantization(source, builtInRecipe(recipe), ranges);
  const path = join(temporaryFolder(), 'model.onnx');
  await saveModel(applyQuantization(source, plan), path);
  const { parts: whole, ...expected } = await auditFile(path, plan);
  expect(whole).toBe(1);
  expect(expected.fused).toBeGreaterThan(17);
  const { parts, ...found } = await auditFile(path, plan, undefined, 1);
  expect(parts).toBeGreaterThan(6);
  expect(found).toEqual(expected);
});
