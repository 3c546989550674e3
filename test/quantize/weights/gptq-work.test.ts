import { describe, expect, it } from 'vitest';
import { describeWork, gptqWork, isModerate } from '../../../src/quantize/weights/gptq-work.ts';

describe('gptqWork', () => {
  it('counts by hand what carrying and factoring multiply', () => {
    // 3 * 3 * (4 / 2 + 3 / 3)
    expect(gptqWork([{ inFeatures: 3, outFeatures: 4 }])).toBe(27);
    expect(gptqWork([])).toBe(0);
  });

  it('lets a model of 135M pass unasked, not one of 9B', () => {
    // SmolLM2: 30 blocks of q, k, v, o, gate, up, down, and a head of 49,152.
    const block = [
      [576, 576],
      [576, 192],
      [576, 192],
      [576, 576],
      [576, 1536],
      [576, 1536],
      [1536, 576],
    ].map(([inFeatures, outFeatures]) => ({ inFeatures: inFeatures!, outFeatures: outFeatures! }));
    const small = Array.from({ length: 30 }, () => block).flat();
    expect(isModerate(gptqWork([...small, { inFeatures: 576, outFeatures: 49_152 }]))).toBe(true);
    const ffn = { inFeatures: 4096, outFeatures: 27_392 };
    const large = gptqWork(Array.from({ length: 40 }, () => ffn));
    expect(isModerate(large)).toBe(false);
    expect(describeWork(large)).toBe('67 minutes');
  });

  it('says times as people do', () => {
    expect(describeWork(2.5e9 * 40)).toBe('40 seconds');
    expect(describeWork(2.5e9 * 60 * 7)).toBe('7 minutes');
    expect(describeWork(2.5e9 * 3600 * 2)).toBe('2 hours');
  });
});
