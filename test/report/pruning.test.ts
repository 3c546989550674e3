import { describe, expect, it } from 'vitest';
import type { PruningPlan } from '../../src/prune/pruning-plan.ts';
import { renderHtml } from '../../src/report/html.ts';
import { renderPruning } from '../../src/report/pruning.ts';
import { SAMPLE_CHECK } from './sample-check.ts';

const figures = (klNats: number | null) => ({
  positions: 100,
  klNats,
  agreement: 0.9,
  perplexityRatio: 1.02,
  dropPoints: 0.4,
});

const PLAN: PruningPlan = {
  amount: 0.125,
  importance: 'obs',
  groups: [
    {
      name: 'layers.0.<mlp>',
      kind: 'ffn',
      unitCount: 64,
      blockCount: 1,
      asked: 8,
      removed: [1, 2, 3, 4, 5, 6, 7, 8],
      importance: 'obs',
    },
  ],
  declined: [],
  search: {
    budget: 'KL <= 0.02',
    windows: 8,
    curve: [
      { amount: 0.125, counts: '8', figures: figures(0.01) },
      { amount: 0.25, counts: '16', figures: figures(0.04) },
      { amount: 0.5, counts: '32', figures: figures(null) },
    ],
  },
};

describe('a report of pruning', () => {
  it('names every share that was tried, in a terminal', () => {
    const text = renderPruning({
      schema: 'autoglm.prune/1',
      plan: PLAN,
      warnings: [],
      folder: null,
      check: null,
    });
    expect(text).toContain('Search       the most with KL <= 0.02, on 8 held-out samples');
    expect(text).toContain('12.5 %: KL 0.0100, agreement 90.0 %, perplexity 1.0200x, top-1 drop');
    expect(text).toContain('50.0 %: KL not finite');
  });

  it('draws KL over the share, and the limit', () => {
    const html = renderHtml(SAMPLE_CHECK, { pruning: PLAN });
    // Height 180 less margins of 10 and 30; the top is 1.05 * 0.04.
    const y = (kl: number) => (10 + (1 - kl / 0.042) * 140).toFixed(1);
    // Width 600 less 60 and 10, from 0 to the largest share that was measured.
    const x = (share: number) => (60 + (share / 0.5) * 530).toFixed(1);
    expect(html).toContain(`points="${x(0.125)},${y(0.01)} ${x(0.25)},${y(0.04)}"`);
    expect(html).toContain(`y1="${y(0.02)}" x2="600" y2="${y(0.02)}" stroke="#cf222e"`);
    expect(html).toContain('<td>layers.0.&lt;mlp&gt;</td><td>ffn</td><td>64</td><td>56</td>');
  });

  it('draws nothing where no share was searched', () => {
    const { search: _, ...plain } = PLAN;
    const html = renderHtml(SAMPLE_CHECK, { pruning: plain });
    expect(html).toContain('<h2>Pruning</h2>');
    expect(html).not.toContain('aria-label="KL over');
  });
});
