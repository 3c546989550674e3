import { describe, expect, it } from 'vitest';
import { createRandom } from '../../src/numerics/random.ts';
import { type AllocatedGroup, allocateUnits, foretoldError } from '../../src/prune/allocate.ts';

function group(scores: readonly number[], given: Partial<AllocatedGroup> = {}): AllocatedGroup {
  return {
    scores: Float64Array.from(scores),
    sensitivity: 1,
    step: 1,
    most: scores.length,
    parametersPerUnit: 1,
    ...given,
  };
}

describe('allocateUnits', () => {
  it('takes what costs least, wherever it is', () => {
    const groups = [group([5, 1, 2]), group([10, 3, 4])];
    expect(allocateUnits(groups, 3)).toEqual([2, 1]);
    expect(allocateUnits([groups[0]!, group([10, 3, 4], { sensitivity: 0.05 })], 3)).toEqual([
      0, 3,
    ]);
  });

  it('counts parameters, not units, and stops short of what was asked for', () => {
    // A unit of the second costs as much, and takes three parameters with it.
    const groups = [group([1, 1, 1, 1]), group([1, 1, 1, 1], { parametersPerUnit: 3 })];
    expect(allocateUnits(groups, 8)).toEqual([2, 2]);
    expect(allocateUnits([group([1, 1, 1, 1], { step: 2 })], 3)).toEqual([2]);
    expect(allocateUnits([group([1, 1, 1, 1], { most: 1 })], 4)).toEqual([1]);
  });

  it('is the best of all ways to take as many, tried one by one', () => {
    const random = createRandom(5);
    for (let trial = 0; trial < 50; trial++) {
      const groups = [0, 1, 2].map(() =>
        group(
          Array.from({ length: 5 }, () => random.uniform()),
          { sensitivity: random.uniform() },
        ),
      );
      const cost = (counts: readonly number[]): number =>
        counts.reduce(
          (sum, count, index) =>
            sum + groups[index]!.sensitivity * foretoldError(groups[index]!.scores, count),
          0,
        );
      const found = cost(allocateUnits(groups, 6));
      for (let a = 0; a <= 5; a++) {
        for (let b = 0; a + b <= 6 && b <= 5; b++) {
          if (6 - a - b > 5) continue;
          expect(cost([a, b, 6 - a - b])).toBeGreaterThanOrEqual(found - 1e-12);
        }
      }
    }
  });
});
