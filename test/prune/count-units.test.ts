import { describe, expect, it } from 'vitest';
import {
  alignedKeep,
  automaticAlignment,
  countToPrune,
  roundHalfToEven,
} from '../../src/prune/count-units.ts';

describe('countToPrune', () => {
  // torch.nn.utils.prune.ln_structured, torch 2.13: Python's round on the double product.
  it.each([
    [0.1, 5, 0],
    [0.1, 15, 2],
    [0.1, 25, 2],
    [0.1, 35, 4],
    [0.1, 45, 4],
    [0.3, 15, 4],
    [0.25, 2, 0],
    [0.25, 10, 2],
    [0.25, 50, 12],
    [0.25, 1370, 342],
    [0.1, 32, 3],
    [0.1, 128, 13],
    [0.1, 13696, 1370],
    [0.05, 13696, 685],
    [0.1, 2, 0],
    [0.5, 13696, 6848],
  ])('counts %d of %d as torch does: %d', (amount, size, expected) => {
    expect(countToPrune(amount, size)).toBe(expected);
  });

  it('has no floor: 0.99 of 8 are all 8, and 1 is everything', () => {
    expect(countToPrune(0.99, 8)).toBe(8);
    expect(countToPrune(1, 8)).toBe(8);
    expect([0.5, 1.5, 2.5, 3.2].map(roundHalfToEven)).toEqual([0, 2, 2, 3]);
  });
});

describe('alignedKeep', () => {
  it.each([
    [13696, 1370, 12288],
    [13696, 2739, 11008],
    [3072, 307, 2752],
    [1536, 154, 1408],
    [384, 38, 344],
    [128, 13, 112],
  ])('of %d without %d it keeps %d', (size, pruned, expected) => {
    expect(alignedKeep(size, pruned, automaticAlignment(size))).toBe(expected);
  });

  it('keeps on a tie, keeps something, and cuts nothing for nothing', () => {
    expect(alignedKeep(16, 4, 8)).toBe(16);
    expect(alignedKeep(100, 99, 8)).toBe(8);
    expect(alignedKeep(5, 5, 8)).toBe(5);
    expect(alignedKeep(13, 0, 8)).toBe(13);
    expect(alignedKeep(10, 1, 1)).toBe(9);
  });
});
