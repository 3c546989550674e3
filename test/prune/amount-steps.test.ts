import { describe, expect, it } from 'vitest';
import { amountSteps, countsOf, findMost } from '../../src/prune/amount-steps.ts';
import { scoreGroups } from '../../src/prune/plan-pruning.ts';
import { PRUNE_SCHEMA } from '../../src/prune/prune-settings.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { root } from '../kit/paths.ts';

describe('findMost', () => {
  async function search(count: number, holds: (step: number) => boolean) {
    const tried: number[] = [];
    const steps = Array.from({ length: count }, (_, index) => index + 1);
    const found = await findMost(steps, async (step) => {
      tried.push(step);
      return holds(step);
    });
    return { found, tried };
  }

  it('finds every limit among ten with four trials at most', async () => {
    for (let limit = 0; limit <= 10; limit++) {
      const { found, tried } = await search(10, (step) => step <= limit);
      expect(found).toBe(limit === 0 ? undefined : limit);
      expect(tried.length).toBeLessThanOrEqual(4);
    }
  });

  it('returns only what has held itself, where figures do not fall in order', async () => {
    const good = new Set([1, 2, 5, 9]);
    const { found, tried } = await search(10, (step) => good.has(step));
    expect(good.has(found!)).toBe(true);
    expect(tried).toContain(found);
  });

  it('has nothing to find among nothing', async () => {
    expect(await search(0, () => true)).toEqual({ found: undefined, tried: [] });
  });
});

describe('amountSteps', () => {
  it('are the aligned widths and even heads that there are, each once', async () => {
    const model = await openModel(`${root}fixtures/glm-nano/optimum/model.onnx`);
    // Up to half: 384 hidden channels by 8, four query heads that share two key heads.
    const settings = PRUNE_SCHEMA.parse({ maxKl: 1, layers: '0-0' });
    const scored = await scoreGroups({ model, settings, importance: 'l1' });
    const steps = amountSteps(scored, settings).map(countsOf);
    expect(new Set(steps).size).toBe(steps.length);
    const widths = [...new Set(steps.map((step) => Number(step.split(' ').at(-1))))];
    expect(widths).toEqual(Array.from({ length: 24 }, (_, index) => 8 * (index + 1)));
    expect(steps.at(-1)).toBe('2 192');
    expect(steps[0]).toBe('0 8');
  });

  it('end at the share that was asked for', async () => {
    const model = await openModel(`${root}fixtures/glm-nano/optimum/model.onnx`);
    const settings = PRUNE_SCHEMA.parse({ amount: 0.1, targets: ['ffn'], layers: '0-0' });
    const scored = await scoreGroups({ model, settings, importance: 'l1' });
    expect(amountSteps(scored, settings).map(countsOf)).toEqual(['8', '16', '24', '32', '40']);
  });
});
