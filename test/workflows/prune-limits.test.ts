import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GateFailedError, UsageError } from '../../src/errors.ts';
import { parsePruning } from '../../src/prune/pruning-file.ts';
import type { Reporter } from '../../src/workflows/progress.ts';
import { type PruneOptions, prune } from '../../src/workflows/prune.ts';
import { historyBeside } from '../../src/workflows/search/artifact-history.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
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

function pruneWithin(output: string, options: Partial<PruneOptions>, reporter: Reporter = silent) {
  const quick: Partial<PruneOptions> = { samples: 4, sequenceLength: 64, targets: ['ffn'] };
  return prune(
    { model: MODEL, data: TEXT, output, latency: false, ...quick, ...options },
    reporter,
  );
}

/** Counts the windows that a search ran. */
function countingReporter(): Reporter & { windows(): number } {
  let count = 0;
  return {
    ...silent,
    progress: ({ task }) => {
      if (task === 'search') count++;
    },
    windows: () => count,
  };
}

describe('prune with a limit and no share', () => {
  it('removes the most that holds it, and the next step would not', async () => {
    const output = temporaryFolder();
    const counting = countingReporter();
    const { plan, check } = await pruneWithin(output, { maxKl: 0.05 }, counting);
    const { curve } = plan.search!;
    const chosen = curve.findIndex(({ amount }) => amount === plan.amount);
    expect(curve[chosen]!.figures.klNats).toBeLessThanOrEqual(0.05);
    expect(curve[chosen + 1]!.figures.klNats).toBeGreaterThan(0.05);
    // What was searched is what was written: the same windows, the same logits.
    const measured = check!.accuracy!.languageModel!.klNats;
    expect(measured! / curve[chosen]!.figures.klNats!).toBeCloseTo(1, 3);
    expect(check!.gates).toMatchObject([{ gate: 'maxKl', passed: true }]);
    // 1,024 bytes in windows of 64, for the source and for each of the shares.
    expect(counting.windows()).toBe(16 * (curve.length + 1));
    const path = join(output, 'pruning.json');
    expect(parsePruning(readFileSync(path, 'utf8'), path)).toEqual(plan);
    expect((await historyBeside(output)).pruning).toEqual(plan);

    const again = countingReporter();
    const second = await pruneWithin(output, { maxKl: 0.05, force: true }, again);
    expect(second.plan).toEqual(plan);
    expect(again.windows()).toBe(0);
  });

  it('says what the smallest step costs when that is too much', async () => {
    const output = join(temporaryFolder(), 'out');
    const error = await pruneWithin(output, { maxKl: 1e-9, dryRun: true }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(GateFailedError);
    expect((error as Error).message).toMatch(
      /^prune: no share holds the limits \(got KL [\d.e-]+, top-1 drop .*, expected KL <= 1e-9\)\. Allow more/,
    );
  });

  it('refuses a limit that nothing measures', async () => {
    const options = { model: MODEL, output: temporaryFolder(), maxKl: 0.1 };
    await expect(prune(options, silent)).rejects.toThrow(
      new UsageError(
        'prune: a limit is measured on data, and there are none (got KL <= 0.1). Give --data <folder>.',
      ),
    );
    await expect(pruneWithin(temporaryFolder(), { maxDrop: 'half' })).rejects.toThrow(
      /^--maxDrop: /,
    );
  });
});

describe('prune with a limit and a share', () => {
  it('keeps the files and ends with exit code 3 when the limit does not hold', async () => {
    const output = join(temporaryFolder(), 'out');
    const common = ['prune', MODEL, '--targets', 'ffn', '--amount', '0.2', '--data', TEXT];
    const quick = ['--samples', '4', '--no-latency', '--recover', 'none', '--importance', 'wanda'];
    const failed = await spawnAutoglm([...common, ...quick, '--max-kl', '1e-6', '-o', output]);
    expect(failed.code, failed.stderr).toBe(3);
    expect(failed.stderr).toMatch(/maxKl: the mean KL divergence in nats is 0\.\d+ \(expected/);
    expect(readFileSync(join(output, 'pruning.json'), 'utf8')).toContain('"amount": 0.2');
    const held = await spawnAutoglm([
      ...common,
      ...quick,
      '--max-kl',
      '9',
      '-o',
      output,
      '--force',
    ]);
    expect(held.code, held.stderr).toBe(0);
  });
});

it("reads no manifest.json of somebody else's beside a model", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'manifest.json'), '{"name": "a web page"}');
  expect(await historyBeside(folder)).toEqual({ pruning: undefined, search: undefined });
});
