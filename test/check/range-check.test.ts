import { describe, expect, it } from 'vitest';
import { parseCheckResult } from '../../src/check/check-result-schema.ts';
import { rangeWarning, type SampleReach, summarizeReach } from '../../src/check/range-check.ts';

import { SAMPLE_CHECK } from '../report/sample-check.ts';

function sample(domain: string | undefined, reach: Record<string, readonly number[]>): SampleReach {
  const rows = Object.entries(reach).map(
    ([layer, values]) => [layer, Float32Array.from(values)] as const,
  );
  return { domain, reach: new Map(rows) };
}

describe('summarizeReach', () => {
  it('counts tokens beyond the range, by layer and by domain, the worst first', () => {
    const check = summarizeReach([
      sample('english', { a: [0.5, 1, 0.9, 0.2], b: [0.1, 0.2, 0.3, 0.4] }),
      sample('python', { a: [0.5, 2.5, 0.9, 3], b: [0.1, 1.2, 0.3, 0.4] }),
    ]);
    expect(check.samples).toBe(2);
    expect(check.activations).toEqual([
      { layer: 'a', share: 2 / 8, worstRatio: 3 },
      { layer: 'b', share: 1 / 8, worstRatio: Math.fround(1.2) },
    ]);
    expect(check.domains).toEqual([
      { domain: 'english', share: 0, activationsBeyond: 0, worstRatio: 1, worstLayer: 'a' },
      { domain: 'python', share: 3 / 8, activationsBeyond: 2, worstRatio: 3, worstLayer: 'a' },
    ]);
  });

  it('does not take the rounding of the last integer for a value beyond', () => {
    const [use] = summarizeReach([sample(undefined, { a: [1.003, 1.005] })]).activations;
    expect(use!.share).toBe(0.5);
  });
});

describe('values that are not finite', () => {
  it('are beyond every range, and their ratio is null, which check.json can hold', () => {
    const check = summarizeReach([
      sample('english', { a: [0.5, Number.NaN], b: [2, 0] }),
      sample('python', { a: [Number.POSITIVE_INFINITY, 0], b: [0, 0] }),
    ]);
    expect(check.activations).toEqual([
      { layer: 'a', share: 0.5, worstRatio: null },
      { layer: 'b', share: 0.25, worstRatio: 2 },
    ]);
    expect(check.domains.map(({ worstRatio }) => worstRatio)).toEqual([null, null]);
    expect(rangeWarning(check)).toContain('not finite');
    const text = JSON.stringify({ ...SAMPLE_CHECK, ranges: check });
    expect(parseCheckResult(text, 'check.json').ranges).toEqual(check);
  });
});

describe('rangeWarning', () => {
  it('names the kinds that leave the ranges, the worst first, how far, in how many inputs, and the layer', () => {
    const check = summarizeReach([
      sample('c', { a: [0.5, 1.5], b: [0, 0] }),
      sample('english', { a: [0.5, 1], b: [0, 0] }),
      sample('python', { a: [1.5, 2.5], b: [0, 0] }),
    ]);
    expect(rangeWarning(check)).toBe(
      'data leave the calibrated ranges: python most (50.0 % of tokens and layers, in 1 of 2 inputs, up to 2.5x; worst ' +
        'is a), c (25.0 %, up to 1.5x). Add such data to the calibration set.',
    );
  });

  it('counts the kinds that it has no room for', () => {
    const kinds = Array.from({ length: 10 }, (_, index) => sample(`k${index}`, { a: [2] }));
    expect(rangeWarning(summarizeReach(kinds))).toMatch(
      /k7 \(100\.0 %, up to 2\.0x\), 2 more\. Add/,
    );
  });

  it('says so of data that name no kinds, and nothing of what stays inside', () => {
    expect(rangeWarning(summarizeReach([sample(undefined, { a: [0.5, 2], b: [0, 0] })]))).toBe(
      'data leave the calibrated ranges: 25.0 % of tokens and layers (a most, 50.0 % of its tokens, up to 2.0x). ' +
        'Calibrate with such data.',
    );
    expect(rangeWarning(summarizeReach([sample('english', { a: [0.5, 1] })]))).toBeUndefined();
    expect(rangeWarning(summarizeReach([]))).toBeUndefined();
  });
});
