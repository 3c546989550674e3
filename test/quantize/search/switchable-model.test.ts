import { describe, expect, it } from 'vitest';
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
import { findLinears } from '../../../src/structure/find-linears.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { fixture } from '../../kit/run-model.ts';

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
  it('drops scales where all layers behind them are float, and keeps the others', async () => {
    const { model, plan, groups } = await planned('glm-nano/optimum');
    const sites = groups.slice(0, 2).map(({ layers }) => ({
      name: layers[0]!,
      kind: 'norm' as const,
      into: 'norm',
      purpose: 'activations' as const,
      alpha: 0.5,
      layers,
      scales: '',
    }));
    const smoothed = { ...plan, smoothing: { sites, declined: [] } };
    const fallen = (count: number, choice: GroupChoice) =>
      groups.map((_, index): GroupChoice => (index < count ? choice : 'planned'));
    const sitesOf = (choices: readonly GroupChoice[]) =>
      chooseSchemes(model, smoothed, groups, choices).smoothing?.sites;
    expect(sitesOf(fallen(1, 'float'))).toEqual([sites[1]]);
    expect(sitesOf(fallen(2, 'float'))).toBeUndefined();
    expect(sitesOf(fallen(2, 'weight-only'))).toEqual(sites);
  });

  it('cuts weights that fall back into blocks of 32, except where a table shares them', async () => {
    const { model, plan, groups } = await planned('glm-nano/optimum');
    const all = groups.map((): GroupChoice => 'weight-only');
    const { layers } = chooseSchemes(model, plan, groups, all);
    const fallen = layers.filter((layer, index) => layer !== plan.layers[index]);
    expect(fallen.length).toBeGreaterThan(30);
    for (const { weight, inFeatures, outFeatures } of fallen) {
      expect(weight.blockSize).toBe(32);
      // One byte a weight, and 4 for every 32 of them.
      expect(weight.bytesAfter).toBe(1.125 * inFeatures * outFeatures);
    }
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

  it('adds the residual plane of a group itself, behind the coarse pair of the model', async () => {
    const recipe = RECIPE_SCHEMA.parse({ name: 'planes', gatedDown: 'w8a8x2' });
    const { model, plan, groups } = await planned('glm-nano/optimum', recipe);
    const downs = groups.filter(({ scheme }) => scheme === 'w8a8x2');
    expect(downs.map(({ roles }) => roles.join(' '))).toEqual(new Array(6).fill('down'));
    const quantized = applyQuantization(model, switchablePlan(model, plan, groups));
    const switchable = makeSwitchable(quantized, plan, groups).model;
    const count = (op: string, { graph } = switchable): number =>
      graph.nodes.filter(({ opType }) => opType === op).length;
    const integer = groups.filter(hasIntegerActivations);
    expect(count('QuantizeLinear')).toBe(integer.length + downs.length);
    expect(count('Sub') - count('Sub', quantized)).toBe(downs.length);
    expect(count('Where') - count('Where', quantized)).toBe(integer.length);
    // One product a layer: what both planes hold is summed before it.
    expect(count('MatMul')).toBe(count('MatMul', quantized));
  });

  it('refuses a plan whose model was made without quantized inputs', async () => {
    const { model, plan, groups } = await planned('glm-nano/optimum');
    const weightOnly = planQuantization(model, builtInRecipe('w8a16'), new Map());
    const quantized = applyQuantization(model, weightOnly);
    expect(() => makeSwitchable(quantized, plan, groups)).toThrow(/no quantized input/);
  });
});
