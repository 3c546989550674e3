import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { type PruneOptions, prune } from '../../src/workflows/prune.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { sharedFolder, temporaryFolder } from '../kit/temporary-folder.ts';

const MODEL = join(root, 'fixtures/glm-nano/genai');
const TEXT = shortText();

/** The calibration text with four held-out windows. */
function shortText(): string {
  const folder = sharedFolder();
  const text = readFileSync(join(root, 'calibration/text/heldout.txt'));
  writeFileSync(join(folder, 'heldout.txt'), text.subarray(0, 4 * 256));
  cpSync(join(root, 'calibration/text/calib.txt'), join(folder, 'calib.txt'));
  cpSync(join(root, 'calibration/text/dataset.yaml'), join(folder, 'dataset.yaml'));
  return folder;
}

async function pruned(allocate: NonNullable<PruneOptions['allocate']>) {
  const output = temporaryFolder();
  const found = await prune(
    {
      ...{ model: MODEL, data: TEXT, output, allocate, amount: 0.2, samples: 4 },
      ...{ sequenceLength: 128, targets: ['ffn'], latency: false },
    },
    silent,
  );
  return {
    klNats: found.check!.accuracy!.languageModel!.klNats!,
    parameters: found.pruning!.parametersAfter,
    removed: found.plan.groups.map((group) => group.removed.length),
    warnings: found.warnings,
  };
}

it('prune --allocate search takes as much with less loss, from layers that differ', async () => {
  const uniform = await pruned('uniform');
  const searched = await pruned('search');
  expect(new Set(uniform.removed).size).toBe(1);
  expect(new Set(searched.removed).size).toBeGreaterThan(1);
  expect(searched.parameters).toBe(uniform.parameters);
  // A fiftieth where this was written: the first layers of glm-nano say little.
  expect(searched.klNats).toBeLessThan(0.9 * uniform.klNats);
  // Half of a layer is the most.
  expect(Math.max(...searched.removed)).toBeLessThanOrEqual(192);
  expect(searched.warnings.join(' ')).toMatch(/config/);
});

it('prune --allocate search needs data', async () => {
  await expect(
    prune({ model: MODEL, output: temporaryFolder(), allocate: 'search' }, silent),
  ).rejects.toThrow(
    new UsageError(
      'prune: --allocate search measures layers on data, and there are none. Give --data <folder>.',
    ),
  );
});
