import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor as OrtTensor } from 'onnxruntime-node';
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
import { noise } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { type Feeds, fixture, runModel } from '../kit/run-model.ts';
import { dice } from './graph-builder.ts';

const ROWS = 6;

/** Blocks of which nothing can go, and what stands in the way. */
const DECLINED: Readonly<Record<string, RegExp>> = {
  'tied-embedding-ffn-ts': /it looks up rows of a table/,
};

function cutOf(group: PruneGroup, amount: number): Cut {
  const size = group.unitCount / group.blockCount;
  const count = Math.min(size - 1, Math.max(1, countToPrune(amount, size)));
  const random = dice(Math.round(amount * 10));
  const removed = Array.from({ length: group.blockCount }, (_, block) =>
    random.subset(size, count).map((unit) => block * size + unit),
  );
  return { group, removed: removed.flat() };
}

function feedsOf(model: Model): Feeds {
  return Object.fromEntries(
    model.graph.inputs.map(({ name, type }) => {
      if (type?.kind !== 'tensor') throw new Error(name);
      const dims = (type.shape ?? []).map((dim) => {
        if (typeof dim === 'number') return dim;
        if (/^past[^+]*$/.test(dim ?? '')) return 0;
        return /batch/.test(dim ?? '') ? 2 : ROWS;
      });
      const count = dims.reduce((product, dim) => product * dim, 1);
      if (type.dataType === 'float32') {
        return [name, new OrtTensor('float32', noise(5, count), dims)];
      }
      if (type.dataType === 'int32') {
        const lengths = Int32Array.from({ length: count }, () =>
          dims.length === 0 ? ROWS : ROWS - 1,
        );
        return [name, new OrtTensor('int32', lengths, dims)];
      }
      const element = (index: number): bigint => {
        if (name.includes('mask')) return 1n;
        if (name.includes('type')) return 0n;
        return name.includes('position') ? BigInt(index % ROWS) : BigInt((index * 7) % 13);
      };
      const ids = BigInt64Array.from({ length: count }, (_, index) => element(index));
      return [name, new OrtTensor('int64', ids, dims)];
    }),
  );
}

/** The first output: others are caches, which lose the heads. */
async function run(model: Model, feeds: Feeds): Promise<Float32Array> {
  const { outputs } = await runModel(model, [feeds], { disable_prepacking: '1' }, 'disabled');
  return outputs.get(model.graph.outputs[0]!.name)!;
}

describe('pruning exported blocks', () => {
  it.each(readdirSync(join(root, 'fixtures/prune/blocks')))(
    'cuts %s so that it gives what the masked original gives, or says why not',
    async (folder) => {
      const prepared = prepareModel(await fixture(`prune/blocks/${folder}`), folder).model;
      const model = runPasses(prepared, [convertToFloat32]);
      const { groups, declined } = findGroups(model);
      if (DECLINED[folder] !== undefined) {
        expect(groups).toEqual([]);
        expect(declined.map(({ reason }) => reason).join()).toMatch(DECLINED[folder]);
        return;
      }
      expect(groups.length).toBeGreaterThan(0);
      const feeds = feedsOf(model);
      for (const amount of [0.1, 0.2, 0.5]) {
        const cuts = groups.map((group) => cutOf(group, amount));
        const own = await run(applyPruning(model, cuts), feeds);
        const reference = await run(maskedReference(model, cuts), feeds);
        const largest = reference.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        const error = own.reduce(
          (most, x, index) => Math.max(most, Math.abs(x - reference[index]!)),
          0,
        );
        // Vectorised functions round the rest of a tensor otherwise, and the rest is elsewhere.
        expect(error / largest, `${folder} at ${amount}`).toBeLessThanOrEqual(1e-6);
      }
    },
  );
});
