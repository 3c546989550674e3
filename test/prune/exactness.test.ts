import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { prepareModel } from '../../src/passes/prepare-model.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { countToPrune } from '../../src/prune/count-units.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { PruneGroup } from '../../src/prune/group.ts';
import type { Cut } from '../../src/prune/kept-axes.ts';
import { maskedReference } from '../../src/prune/masked-reference.ts';
import { type Feeds, fixture, imageFeeds, runModel, textFeeds } from '../kit/run-model.ts';

const EXPORTS = [
  'glm-nano/dynamo-opset18',
  'glm-nano/dynamo-opset23',
  'glm-nano/genai',
  'glm-nano/optimum',
  'glm-nano/torchscript',
  'vit-fashion/dynamo-opset18',
  'vit-fashion/optimum',
  'vit-fashion/torchscript-opset14',
];

/** Units in a fixed scattered order, equally many from each stretch. */
function scatter(group: PruneGroup, amount: number): Cut {
  const { unitCount, blockCount } = group;
  const size = unitCount / blockCount;
  const count = Math.min(size - 1, Math.max(1, countToPrune(amount, size)));
  const removed = Array.from({ length: blockCount }, (_, block) => {
    const order = [...Array(size).keys()].sort(
      (a, b) => ((a * 37 + block) % 101) - ((b * 37 + block) % 101),
    );
    return order.slice(0, count).map((unit) => block * size + unit);
  });
  return { group, removed: removed.flat().sort((a, b) => a - b) };
}

function feedsOf(folder: string, model: Model): readonly Feeds[] {
  return folder.startsWith('glm')
    ? textFeeds(model, 'heldout.txt', 1, 40)
    : imageFeeds(model, 'test.npz', 4);
}

async function float32(model: Model): Promise<Model> {
  return runPasses(prepareModel(model, 'model.onnx').model, [convertToFloat32]);
}

describe('applyPruning', () => {
  it.each(EXPORTS.flatMap((folder) => [0.1, 0.2, 0.5].map((amount) => [folder, amount] as const)))(
    'cuts %s at %d so that the result equals the masked original bit for bit',
    async (folder, amount) => {
      const model = await float32(await fixture(folder));
      const { groups } = findGroups(model);
      const cuts = groups.map((group) => scatter(group, amount));
      const pruned = applyPruning(model, cuts);
      const feeds = feedsOf(folder, model);
      const [own, reference] = [
        (await runModel(pruned, feeds, {}, 'disabled')).outputs.get(model.graph.outputs[0]!.name)!,
        (await runModel(maskedReference(model, cuts), feeds, {}, 'disabled')).outputs.get(
          model.graph.outputs[0]!.name,
        )!,
      ];
      expect(own.length).toBeGreaterThan(0);
      expect(own.findIndex((value, index) => value !== reference[index])).toBe(-1);
    },
  );
});
