import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelOnDisk } from '../../src/artifact/model-on-disk.ts';
import { parameterBytes, parameterCount } from '../../src/ir/constants.ts';
import type { Model } from '../../src/ir/model.ts';
import { findOp } from '../../src/ops/index.ts';
import { inferFacts } from '../../src/passes/infer-facts.ts';
import { inferShapes } from '../../src/passes/infer-shapes.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { countToPrune } from '../../src/prune/count-units.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { planPruning } from '../../src/prune/plan-pruning.ts';
import { PRUNE_SCHEMA } from '../../src/prune/prune-settings.ts';
import { cutsOf } from '../../src/prune/pruning-file.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

/** Two blocks of width 64: 8 query and 2 key heads of 8, 96 gated hidden channels, FP32; 2 sequences of 6. */
const [LAYERS, WIDTH, HEAD, HIDDEN, ROWS, LENGTH] = [2, 64, 8, 96, 12, 6];

/** Multiplications of all products whose sizes are known, which here is every one. */
function multiplications(model: Model): number {
  const facts = inferFacts(model).of(model.graph);
  let total = 0;
  for (const node of model.graph.nodes) {
    const spec = findOp(node.domain, node.opType);
    if (spec?.macs === undefined) continue;
    const known = (names: readonly string[]) => names.map((name) => facts.get(name) ?? {});
    total += spec.macs(node, known(node.inputs), known(node.outputs)) ?? Number.NaN;
  }
  return total;
}

describe('what pruning saves', () => {
  it.each([0, 0.1, 0.2, 0.3, 0.5])(
    'at %d is what the widths say, to the unit: parameters, bytes and multiplications',
    async (amount) => {
      const path = join(root, 'fixtures/prune/blocks/glm4-static-ts');
      const { model } = await openModelOnDisk(path);
      const settings = PRUNE_SCHEMA.parse({ amount, exact: true });
      const plan = await planPruning({ model, settings, importance: 'l1' });
      const pruned = applyPruning(model, cutsOf(findGroups(model), plan));
      // Of each layer: heads from each of two stretches of four, hidden channels.
      const heads = 2 * countToPrune(amount, 4);
      const channels = countToPrune(amount, HIDDEN);
      const perHead = HEAD * (WIDTH + WIDTH);
      const perChannel = 3 * WIDTH;
      // The biases of q, all zero, are one vector in the file; each layer keeps a part of its own.
      const bias = heads === 0 ? 0 : WIDTH - LAYERS * (WIDTH - heads * HEAD);
      const saved = LAYERS * (heads * perHead + channels * perChannel) + bias;
      expect(parameterCount(model.graph) - parameterCount(pruned.graph)).toBe(saved);
      expect(parameterBytes(model.graph) - parameterBytes(pruned.graph)).toBe(4 * saved);
      // Rows go through q and o, and each head through scores and values of its own sequence.
      const headRows = 2 * ROWS * HEAD * WIDTH + 2 * ROWS * LENGTH * HEAD;
      const fewer = LAYERS * (heads * headRows + channels * ROWS * perChannel);
      expect(multiplications(model) - multiplications(pruned)).toBe(fewer);
      if (amount === 0) expect(pruned).toBe(model);
    },
  );

  it('is what the file is shorter by, but for names and shapes', async () => {
    const { model } = await openModelOnDisk(join(root, 'fixtures/prune/blocks/glm4-static-ts'));
    const settings = PRUNE_SCHEMA.parse({ amount: 0.5, exact: true });
    const plan = await planPruning({ model, settings, importance: 'l1' });
    const pruned = applyPruning(model, cutsOf(findGroups(model), plan));
    const sizeOf = async (one: Model): Promise<number> => {
      const files = await saveModel(one, join(temporaryFolder(), 'model.onnx'));
      return files.reduce((sum, file) => sum + statSync(file).size, 0);
    };
    // The cut model has inferred types, which the export has not.
    const [whole, cut] = [await sizeOf(runPasses(model, [inferShapes])), await sizeOf(pruned)];
    const saved = parameterBytes(model.graph) - parameterBytes(pruned.graph);
    expect(saved).toBeGreaterThan(0.3 * whole);
    expect(Math.abs(whole - cut - saved) / whole).toBeLessThan(0.01);
  });
});

describe('cuts that nobody should ask for', () => {
  it('are refused: uneven ones, which would run and be wrong, empty stretches, units that are not there', async () => {
    const { model } = await openModelOnDisk(join(root, 'fixtures/prune/blocks/gqa-contrib'));
    const [group] = findGroups(model).groups;
    const cut = (...removed: readonly number[]) =>
      applyPruning(model, [{ group: group!, removed }]);
    expect(() => cut(0, 1)).toThrow(
      /: each of 2 stretches of 4 must lose equally many units and keep one \(got 2, 0\)/,
    );
    expect(() => cut(0, 1, 2, 3, 4, 5, 6, 7)).toThrow(/got 4, 4/);
    expect(() => cut(0, 0, 4, 5)).toThrow(/equally many/);
    expect(() => cut(0, 8)).toThrow(/there is no unit 8 \(expected 0 to 7\)/);
    expect(cut(0, 4)).not.toBe(model);
  });
});
