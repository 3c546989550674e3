import { describe, expect, it } from 'vitest';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { chooseUnits, sharesOfTotal } from '../../src/prune/choose-units.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { planPruning } from '../../src/prune/plan-pruning.ts';
import { PRUNE_SCHEMA, type PruneSettings } from '../../src/prune/prune-settings.ts';
import { cutsOf, parsePruning, serializePruning } from '../../src/prune/pruning-file.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { fixture } from '../kit/run-model.ts';

function settings(given: Partial<PruneSettings>): PruneSettings {
  return PRUNE_SCHEMA.parse(given);
}

async function widths(folder: string, given: Partial<PruneSettings>): Promise<string[]> {
  const plan = await planPruning({
    model: await fixture(folder),
    settings: settings(given),
    importance: 'l1',
  });
  const lines = plan.groups.map(
    ({ kind, unitCount, removed }) => `${kind} ${unitCount - removed.length}`,
  );
  return [...new Set(lines)];
}

describe('chooseUnits', () => {
  it('takes the lowest of each stretch, ties by position', () => {
    const scores = Float64Array.of(3, 1, 1, 2, /**/ 0.1, 9, 9, 0.2);
    expect(chooseUnits({ unitCount: 8, blockCount: 2 }, scores, 2)).toEqual([1, 2, 4, 7]);
    expect(chooseUnits({ unitCount: 8, blockCount: 1 }, scores, 3)).toEqual([1, 4, 7]);
    expect(chooseUnits({ unitCount: 4, blockCount: 1 }, Float64Array.of(1, 1, 1, 1), 2)).toEqual([
      0, 1,
    ]);
  });

  it('shares a total where it costs least, relative to the mean of each layer', () => {
    const layers = [
      { scores: Float64Array.of(1, 1, 1, 1), most: 3 },
      // A hundred times larger numbers, one of them nearly nothing.
      { scores: Float64Array.of(1, 100, 100, 199), most: 3 },
    ];
    expect(sharesOfTotal(layers, 1)).toEqual([0, 1]);
    expect(sharesOfTotal(layers, 4)).toEqual([3, 1]);
  });
});

describe('planPruning', () => {
  it('aligns widths, or keeps the count of torch', async () => {
    expect(await widths('glm-nano/genai', { targets: ['ffn'] })).toEqual(['ffn 344']);
    expect(await widths('glm-nano/genai', { targets: ['ffn'], exact: true })).toEqual(['ffn 346']);
    expect(await widths('glm-nano/genai', { targets: ['ffn'], align: 128 })).toEqual(['ffn 384']);
    expect(await widths('glm-nano/genai', { targets: ['ffn'], amount: 0 })).toEqual(['ffn 384']);
  });

  it('never takes a part of the query heads that one key head has more than another', async () => {
    expect(await widths('glm-nano/genai', { targets: ['heads'] })).toEqual(['heads 4']);
    expect(await widths('glm-nano/genai', { targets: ['heads'], amount: 0.6 })).toEqual([
      'heads 2',
    ]);
    // Half of two is torch's tie to even, 1; all of them would leave none.
    expect(await widths('glm-nano/genai', { targets: ['heads'], amount: 0.95 })).toEqual([
      'heads 2',
    ]);
    expect(await widths('vit-fashion/optimum', { targets: ['heads'], amount: 0.25 })).toEqual([
      'heads 3',
    ]);
  });

  it('protects layers at both ends, or all but a range', async () => {
    const model = await fixture('glm-nano/genai');
    const layersOf = async (given: Partial<PruneSettings>) => {
      const plan = await planPruning({
        model,
        importance: 'l1',
        settings: settings({ targets: ['ffn'], ...given }),
      });
      return plan.groups.map(({ name }) => Number(/\d+/.exec(name)![0]));
    };
    expect(await layersOf({ protectFirst: 1, protectLast: 2 })).toEqual([1, 2, 3]);
    expect(await layersOf({ layers: '2-3' })).toEqual([2, 3]);
    expect(await layersOf({ layers: '4' })).toEqual([4]);
  });

  it('takes from all layers together with the scope global, as many in all', async () => {
    const model = await fixture('glm-nano/genai');
    const count = async (scope: 'local' | 'global') => {
      const given = settings({ targets: ['ffn'], scope, exact: true });
      const { groups } = await planPruning({ model, importance: 'l1', settings: given });
      return groups.map(({ removed }) => removed.length);
    };
    const [local, global] = [await count('local'), await count('global')];
    const sum = (counts: readonly number[]) => counts.reduce((total, one) => total + one, 0);
    expect(new Set(local)).toEqual(new Set([38]));
    expect(sum(global)).toBe(sum(local));
    expect(new Set(global).size).toBeGreaterThan(1);
  });

  it('of a model that was pruned counts what is left, as torch does: of 10 a fifth and a fifth is 6', async () => {
    let network = model({
      nodes: [
        node('MatMul', ['x', 'w1'], 'hidden'),
        node('Relu', ['hidden'], 'active'),
        node('MatMul', ['active', 'w2'], 'y'),
      ],
      initializers: [floats('w1', [3, 10], noise(1, 30)), floats('w2', [10, 3], noise(2, 30))],
      inputs: [value('x', 'float32', ['n', 3])],
      outputs: [value('y', 'float32', ['n', 3])],
    });
    const widthsLeft: number[] = [];
    for (let turn = 0; turn < 2; turn++) {
      const given = settings({ amount: 0.2, exact: true });
      const plan = await planPruning({ model: network, settings: given, importance: 'l1' });
      network = applyPruning(network, cutsOf(findGroups(network), plan));
      widthsLeft.push(network.graph.initializers.get('w2')!.dims[0]!);
    }
    expect(widthsLeft).toEqual([8, 6]);
  });

  it('survives its file, whose bytes are the same each time', async () => {
    const make = async () =>
      planPruning({
        model: await fixture('vit-fashion/optimum'),
        settings: settings({ amount: 0.3 }),
        importance: 'group-l1',
      });
    const plan = await make();
    const text = serializePruning(plan);
    expect(serializePruning(await make())).toBe(text);
    expect(parsePruning(text, 'pruning.json')).toEqual(plan);
    expect(() => parsePruning('{}', 'pruning.json')).toThrow(
      /^pruning\.json: is not a pruning plan/,
    );
    expect(() => parsePruning('{', 'pruning.json')).toThrow(/^pruning\.json: is not JSON/);
  });
});
