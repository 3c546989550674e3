import { describe, expect, it } from 'vitest';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { planPruning } from '../../src/prune/plan-pruning.ts';
import { PRUNE_SCHEMA } from '../../src/prune/prune-settings.ts';
import { cutsOf } from '../../src/prune/pruning-file.ts';
import { GLM_9B, makeGlmDecoder } from '../models/glm-decoder.ts';

describe('the shape of GLM-4.1V-9B', () => {
  it('at a tenth keeps 12288 of 13696 hidden channels and 28 of 32 heads, of which nothing is in memory', async () => {
    const model = makeGlmDecoder({ ...GLM_9B, layers: 2 }, (name, byteLength) => ({
      byteLength,
      key: name,
      read: async (into) => {
        into.fill(0);
      },
    }));
    const settings = PRUNE_SCHEMA.parse({});
    const plan = await planPruning({ model, settings, importance: 'l1' });
    expect(
      plan.groups.map(({ kind, unitCount, blockCount, asked, removed }) => ({
        kind,
        of: unitCount,
        in: blockCount,
        asked: unitCount - asked,
        kept: unitCount - removed.length,
      })),
    ).toEqual(
      [0, 1].flatMap(() => [
        { kind: 'heads', of: 32, in: 2, asked: 28, kept: 28 },
        { kind: 'ffn', of: 13696, in: 1, asked: 12326, kept: 12288 },
      ]),
    );
    const pruned = applyPruning(model, cutsOf(findGroups(model), plan));
    const shapes = [...pruned.graph.initializers.values()].map(({ dims }) => dims.join('x'));
    const count = (shape: string): number => shapes.filter((found) => found === shape).length;
    // q and o of 28 heads of 128; packed gate and up; down.
    expect([
      count('4096x3584'),
      count('3584x4096'),
      count('4096x24576'),
      count('12288x4096'),
    ]).toEqual([2, 2, 2, 2]);
    const caches = pruned.graph.inputs.filter(({ name }) => name.startsWith('past'));
    expect(caches.every(({ type }) => type?.kind === 'tensor' && type.shape?.[1] === 2)).toBe(true);
    const inMemory = [...pruned.graph.initializers.values()].reduce(
      (sum, { source }) => sum + (source.bytes?.byteLength ?? 0),
      0,
    );
    expect(inMemory).toBeLessThan(100_000);
  });
});
