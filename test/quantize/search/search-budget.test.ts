import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SearchFigures } from '../../../src/quantize/search/budget.ts';
import { meetsBudget } from '../../../src/quantize/search/budget.ts';
import { searchBudget } from '../../../src/quantize/search/search-budget.ts';
import type { GroupChoice, SearchGroup } from '../../../src/quantize/search/search-group.ts';

/** What INT8 activations, and INT8 weights, of one group add to the KL. */
interface Cost {
  readonly activation: number;
  readonly weight: number;
  readonly weightCount: number;
}

function groupsOf(costs: readonly Cost[]): readonly SearchGroup[] {
  return costs.map(({ weightCount }, index) => ({
    name: `g${index}`,
    layers: [`g${index}`],
    roles: ['other'],
    weightCount,
    scheme: 'w8a8',
    canBeFloat: true,
  }));
}

function figures(klNats: number | null): SearchFigures {
  return { positions: 1, klNats, agreement: 1, perplexityRatio: null, dropPoints: null };
}

/** A model whose costs add up; `bias` is what the artifact is worse than at a glance. */
function additive(costs: readonly Cost[], bias = 0) {
  const calls: { readonly kind: string; readonly choices: readonly GroupChoice[] }[] = [];
  const klOf = (choices: readonly GroupChoice[]): number =>
    costs.reduce((sum, { activation, weight }, index) => {
      if (choices[index] === 'float') return sum;
      return sum + weight + (choices[index] === 'planned' ? activation : 0);
    }, 0);
  const measurements = {
    glance: async (choices: readonly GroupChoice[]) => {
      calls.push({ kind: 'glance', choices });
      return figures(klOf(choices));
    },
    measure: async (choices: readonly GroupChoice[]) => {
      calls.push({ kind: 'artifact', choices });
      return figures(klOf(choices) + bias);
    },
  };
  return { calls, klOf, measurements };
}

const within =
  (maxKl: number) =>
  (own: SearchFigures): boolean =>
    meetsBudget({ maxKl }, own);

describe('searchBudget', () => {
  it('gives up the group that adds most KL per weight, though another adds more in all', async () => {
    // Per weight: 4/10, 6/100, 1/100. All three together: 11.
    const costs = [
      { activation: 4, weight: 0, weightCount: 10 },
      { activation: 6, weight: 0, weightCount: 100 },
      { activation: 1, weight: 0, weightCount: 100 },
    ];
    const { measurements, calls } = additive(costs);
    const found = await searchBudget(groupsOf(costs), measurements, within(7));
    expect(found.ranking.map(({ group, excessKl }) => [group, excessKl])).toEqual([
      [0, 4],
      [1, 6],
      [2, 1],
    ]);
    expect(found.choices).toEqual(['weight-only', 'planned', 'planned']);
    expect(found.figures.klNats).toBe(7);
    expect(found.met).toBe(true);
    expect(calls.at(-1)).toEqual({ kind: 'artifact', choices: found.choices });
    // All, none; none and three alone at a glance; one step of the bisection.
    expect(calls).toHaveLength(2 + 4 + 1);
  });

  it('measures one artifact and ranks nothing when the plan holds as it is', async () => {
    const costs = [{ activation: 1, weight: 1, weightCount: 8 }];
    const { measurements, calls } = additive(costs);
    const found = await searchBudget(groupsOf(costs), measurements, within(2));
    expect(found.choices).toEqual(['planned']);
    expect(found.ranking).toEqual([]);
    expect(calls.map(({ kind }) => kind)).toEqual(['artifact']);
  });

  it('goes on to float when INT8 weights alone pass the budget, dearest per weight first', async () => {
    const costs = [
      { activation: 1, weight: 1, weightCount: 10 },
      { activation: 1, weight: 5, weightCount: 10 },
      { activation: 1, weight: 2, weightCount: 40 },
    ];
    const { measurements } = additive(costs);
    const found = await searchBudget(groupsOf(costs), measurements, within(3));
    expect(found.choices).toEqual(['weight-only', 'float', 'weight-only']);
    expect(found.figures.klNats).toBe(3);
  });

  it('reports the most exact model when even that does not hold', async () => {
    const costs = [{ activation: 1, weight: 1, weightCount: 8 }];
    const { measurements } = additive(costs, 0.5);
    const found = await searchBudget(groupsOf(costs), measurements, within(0.25));
    expect(found).toMatchObject({ met: false, choices: ['float'], figures: { klNats: 0.5 } });
  });

  it('judges by the artifact, however much better it looked at a glance', async () => {
    const costs = [4, 3, 2, 1].map((activation) => ({ activation, weight: 0, weightCount: 1 }));
    const { measurements } = additive(costs, 1);
    const found = await searchBudget(groupsOf(costs), measurements, within(3));
    // At a glance, {2, 1} add up to 3. The artifact has 4; with one group less it has 2.
    expect(found.choices).toEqual(['weight-only', 'weight-only', 'weight-only', 'planned']);
    expect(found.figures.klNats).toBe(2);
  });

  it('puts a group whose logits are not finite before all others', async () => {
    const costs = [
      { activation: 1, weight: 0, weightCount: 1 },
      { activation: 0, weight: 0, weightCount: 1000 },
    ];
    const { klOf } = additive(costs);
    const evaluate = async (choices: readonly GroupChoice[]) =>
      figures(choices[1] === 'planned' ? null : klOf(choices));
    const found = await searchBudget(
      groupsOf(costs),
      { glance: evaluate, measure: evaluate },
      within(1),
    );
    expect(found.choices).toEqual(['planned', 'weight-only']);
  });

  it('holds its budget with the fewest groups of its order, in n + ceil(log2 n) + 3 evaluations', async () => {
    const cost = fc.record({
      activation: fc.integer({ min: 0, max: 1000 }),
      weight: fc.constant(0),
      weightCount: fc.integer({ min: 1, max: 50 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(cost, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 0, max: 4000 }),
        async (costs, budget) => {
          const { measurements, calls, klOf } = additive(costs);
          const groups = groupsOf(costs);
          const found = await searchBudget(groups, measurements, within(budget));
          expect(found.met).toBe(true);
          expect(klOf(found.choices)).toBeLessThanOrEqual(budget);
          const limit = costs.length + Math.ceil(Math.log2(costs.length)) + 3;
          expect(calls.length).toBeLessThanOrEqual(limit);
          const fallen = found.choices.filter((choice) => choice === 'weight-only').length;
          if (fallen === 0) return;
          const oneLess = groups.map((): GroupChoice => 'planned');
          for (const { group } of found.ranking.slice(0, fallen - 1))
            oneLess[group] = 'weight-only';
          expect(klOf(oneLess)).toBeGreaterThan(budget);
        },
      ),
    );
  });
});
