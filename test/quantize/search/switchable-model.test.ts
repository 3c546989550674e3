import { describe, expect, it } from 'vitest';
import { findLinears } from '../../../src/passes/find-linears.ts';
import { applyQuantization } from '../../../src/quantize/apply.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import type { ActivationRange } from '../../../src/quantize/quantization-plan.ts';
import { chooseSchemes } from '../../../src/quantize/search/choose-schemes.ts';
import {
  findSearchGroups,
  type GroupChoice,
  hasIntegerActivations,
} from '../../../src/quantize/search/search-group.ts';
import { makeSwitchable, switchablePlan } from '../../../src/quantize/search/switchable-model.ts';
import { builtInRecipe } from '../../../src/recipe/load.ts';
import { RECIPE_SCHEMA } from '../../../src/recipe/recipe.ts';
import { fixture } from '../run-model.ts';

const everyLayer = RECIPE_SCHEMA.parse({ name: 'every-layer', gatedDown: 'w8a8' });

async function planned(path: string, recipe = everyLayer) {
  const model = await fixture(path);
  const ranges = new Map(
    findLinears(model).map(({ input }): [string, ActivationRange] => [
      input,
      { min: -1, max: 1, calibrator: 'minmax' },
    ]),
  );
  const plan = planQuantization(model, recipe, ranges);
  return { model, plan, groups: findSearchGroups(model, plan) };
}

describe('findSearchGroups', () => {
  it('puts q, k and v, and gate and up, of a block into one group each', async () => {
    const { plan, groups } = await planned('glm-nano/optimum');
    const roles = groups.filter(hasIntegerActivations).map((group) => group.roles.join(' '));
    // gate and up are one packed layer in this model.
    const block = ['q k v', 'attention-output', 'gate-up', 'down'];
    expect(roles).toEqual(Array.from({ length: 6 }, () => block).flat());
    const layers = groups.flatMap((group) => group.layers);
    const quantized = plan.layers.filter(({ scheme }) => scheme !== 'float');
    expect([...layers].sort()).toEqual(quantized.map(({ name }) => name).sort());
  });

  it('keeps a head that shares its table with the embedding from becoming float', async () => {
    const { groups } = await planned('glm-nano/optimum');
    const head = groups.find(({ roles }) => roles.includes('head'))!;
    const table = (await planned('glm-nano/optimum')).plan.embeddings[0]!.table.initializer;
    const { plan } = await planned('glm-nano/optimum');
    const isTied = plan.layers.some(
      ({ role, weight }) => role === 'head' && weight.initializer === table,
    );
    expect(head.canBeFloat).toBe(!isTied);
  });
});

describe('chooseSchemes', () => {
  it('counts bytes and layers again, and leaves what is chosen as planned untouched', async () => {
    const { model, plan, groups } = await planned('glm-nano/optimum');
    const choices = groups.map((_, index): GroupChoice => {
      if (index === 0) return 'weight-only';
      return index === 1 ? 'float' : 'planned';
    });
    const chosen = chooseSchemes(model, plan, groups, choices);
    const { layers } = plan.totals;
    expect(chosen.totals.layers).toEqual({
      ...layers,
      w8a8: layers.w8a8 - groups[0]!.layers.length - groups[1]!.layers.length,
      w8a16: layers.w8a16 + groups[0]!.layers.length,
      float: layers.float + groups[1]!.layers.length,
    });
    const changed = chosen.layers.filter((layer, index) => layer !== plan.layers[index]);
    expect(changed.every(({ activation }) => activation === undefined)).toBe(true);
    expect(chosen.totals.bytesAfter).toBeGreaterThan(plan.totals.bytesAfter);
  });
});

describe('chooseSchemes of a smoothed plan', () => {
  it('drops scales where no quantized input is left behind them, and keeps the others', async () => {
    const { model, plan, groups } = await planned('glm-nano/optimum');
    const [first, second] = groups as [(typeof groups)[number], (typeof groups)[number]];
    const site = (layers: readonly string[], purpose: 'activations' | 'weights') => ({
      name: layers[0]!,
      kind: 'norm' as const,
      into: 'norm',
      purpose,
      alpha: 0.5,
      layers,
      scales: '',
    });
    const sites = [site(first.layers, 'activations'), site(second.layers, 'activations')];
    const smoothed = { ...plan, smoothing: { sites, declined: [] } };
    const fallen = (count: number) =>
      groups.map((_, index): GroupChoice => (index < count ? 'weight-only' : 'planned'));
    expect(chooseSchemes(model, smoothed, groups, fallen(1)).smoothing?.sites).toEqual([sites[1]]);
    expect(chooseSchemes(model, smoothed, groups, fallen(2)).smoothing).toBeUndefined();
    // Scales for INT8 weights serve them still.
    const forWeights = [site(first.layers, 'weights')];
    const kept = { ...plan, smoothing: { sites: forWeights, declined: [] } };
    expect(chooseSchemes(model, kept, groups, fallen(2)).smoothing?.sites).toEqual(forWeights);
  });
});

describe('makeSwitchable', () => {
  it.each(['glm-nano/optimum', 'glm-nano/dynamo-opset18', 'glm-nano/genai', 'vit-fashion/optimum'])(
    'puts one switch before the products of every group of %s',
    async (path) => {
      const { model, plan, groups } = await planned(path);
      const quantized = applyQuantization(model, plan);
      const { model: switchable, switches } = makeSwitchable(quantized, plan, groups);
      const { nodes, inputs } = switchable.graph;
      expect(inputs.at(-1)?.name).toBe(switches);
      const integer = groups.filter(hasIntegerActivations);
      const added = nodes.length - quantized.graph.nodes.length;
      expect(added).toBe(2 * integer.length);
      const reading = nodes.filter(({ inputs: [first = ''] }) => first.endsWith('_switched'));
      expect(reading).toHaveLength(integer.flatMap(({ layers }) => layers).length);
    },
  );

  it('quantizes dynamic activations itself, once per value, where q, k and v share a group', async () => {
    const recipe = RECIPE_SCHEMA.parse({
      name: 'dynamic',
      activations: { dynamic: true },
      gatedDown: 'w8a8',
    });
    const { model, plan, groups } = await planned('glm-nano/optimum', recipe);
    const integer = groups.filter(hasIntegerActivations);
    expect(integer.map(({ roles }) => roles.join(' ')).slice(0, 2)).toEqual([
      'q k v',
      'attention-output',
    ]);
    const quantized = applyQuantization(model, switchablePlan(model, plan, groups));
    const { nodes } = makeSwitchable(quantized, plan, groups).model.graph;
    const count = (op: string): number => nodes.filter(({ opType }) => opType === op).length;
    expect(count('DynamicQuantizeLinear')).toBe(integer.length);
    expect(count('QuantizeLinear')).toBe(0);
  });

  it('refuses a plan whose model was made without quantized inputs', async () => {
    const { model, plan, groups } = await planned('glm-nano/optimum');
    const weightOnly = planQuantization(model, builtInRecipe('w8a16'), new Map());
    const quantized = applyQuantization(model, weightOnly);
    expect(() => makeSwitchable(quantized, plan, groups)).toThrow(/no quantized input/);
  });
});
