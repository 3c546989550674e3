import { describe, expect, it } from 'vitest';
import { describeBudget, meetsBudget } from '../../../src/quantize/search/budget.ts';
import { budgetOf } from '../../../src/quantize/search/budget-options.ts';

const figures = {
  positions: 10,
  klNats: 0.02,
  agreement: 0.9,
  perplexityRatio: 1.01,
  dropPoints: 0.5,
};

describe('budgetOf', () => {
  it('reads half a percent and half a point as the same', () => {
    expect(budgetOf({ maxDrop: '0.5%' })).toEqual({ maxDropPoints: 0.5 });
    expect(budgetOf({ maxDrop: '0.5 pt' })).toEqual({ maxDropPoints: 0.5 });
  });

  it('is absent without a limit, and refuses a drop without a unit', () => {
    expect(budgetOf({})).toBeUndefined();
    expect(() => budgetOf({ maxDrop: '0.005' })).toThrow(/--max-drop: .*"0.005"/);
  });
});

describe('meetsBudget', () => {
  it('holds at the limit itself, and needs every limit', () => {
    const budget = { maxKl: 0.02, maxDropPoints: 0.5, maxPerplexityRatio: 1.01 };
    expect(meetsBudget(budget, figures)).toBe(true);
    expect(meetsBudget({ ...budget, maxPerplexityRatio: 1.009 }, figures)).toBe(false);
    expect(describeBudget(budget)).toBe('KL <= 0.02, top-1 drop <= 0.5 pt, perplexity <= 1.01x');
  });

  it('does not hold where the figure is missing', () => {
    expect(meetsBudget({ maxKl: 1 }, { ...figures, klNats: null })).toBe(false);
    expect(meetsBudget({ maxDropPoints: 1 }, { ...figures, klNats: null })).toBe(true);
  });
});
