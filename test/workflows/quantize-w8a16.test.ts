import { join } from 'node:path';
import { expect, it } from 'vitest';
import { quantize } from '../../src/workflows/quantize.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const options = { model: join(root, 'fixtures/glm-nano/genai'), recipe: 'w8a16' };

it('smooths weight-only layers when there are data to calibrate with, and does without', async () => {
  const without = await quantize({ ...options, output: temporaryFolder() }, silent);
  expect(without.plan.smoothing).toBeUndefined();
  const data = { data: join(root, 'calibration/text'), samples: 4, sequenceLength: 64 };
  const { plan, fusion, manifest } = await quantize(
    { ...options, ...data, output: temporaryFolder() },
    silent,
  );
  // In blocks, weights bear stronger scales than in whole channels.
  const sites = plan.smoothing!.sites.map(({ purpose, alpha }) => [purpose, alpha]);
  expect(sites.length).toBeGreaterThan(12);
  expect(new Set(sites.map(String))).toEqual(new Set(['weights,0.5']));
  expect(fusion?.unfused).toEqual([]);
  expect(manifest?.data?.sha256).toMatch(/^[0-9a-f]{64}$/);
});
