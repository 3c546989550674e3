import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinDomains, shareOut } from '../../../src/calibrate/data/domains.ts';
import type { SampleList } from '../../../src/calibrate/sample.ts';

/** Samples that say where they are in their list. */
function listOf(count: number): SampleList {
  return {
    count,
    async *read(indices) {
      for (const index of indices) {
        const data = BigInt64Array.of(BigInt(index));
        yield { values: new Map([['input_ids', { dataType: 'int64', dims: [1], data }]]) };
      }
    },
  };
}

function domain(name: string, count: number, weight = 1) {
  return { name, weight, list: listOf(count) };
}

describe('shareOut', () => {
  it('gives every domain one before any gives more than its weight asks for', () => {
    const domains = [domain('a', 9, 2), domain('b', 9), domain('c', 9)];
    expect(shareOut(domains, 3)).toEqual([1, 1, 1]);
    expect(shareOut(domains, 4)).toEqual([2, 1, 1]);
    expect(shareOut(domains, 8)).toEqual([4, 2, 2]);
  });

  it('takes from others what a small domain does not have', () => {
    expect(shareOut([domain('a', 1), domain('b', 9)], 6)).toEqual([1, 5]);
    expect(shareOut([domain('a', 3), domain('b', 2)], undefined)).toEqual([3, 2]);
    expect(shareOut([domain('a', 3), domain('b', 2)], 7)).toEqual([3, 2]);
  });

  it('gives all that is wanted by weights so small that shares over them are infinite', () => {
    expect(shareOut([domain('a', 9, 5e-324), domain('b', 1, 5e-324)], 6)).toEqual([5, 1]);
  });

  it('gives what is wanted, within what there is, whatever the weights', () => {
    const one = fc.record({
      count: fc.nat(20),
      weight: fc.oneof(
        fc.double({ min: 0.1, max: 9, noNaN: true }),
        fc.constantFrom(5e-324, 1e300),
      ),
    });
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 6 }), fc.nat(60), (specs, wanted) => {
        const domains = specs.map(({ count, weight }, index) => domain(`d${index}`, count, weight));
        const shares = shareOut(domains, wanted);
        const all = specs.reduce((sum, { count }) => sum + count, 0);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(Math.min(wanted, all));
        shares.forEach((share, index) => {
          expect(share).toBeLessThanOrEqual(specs[index]!.count);
        });
      }),
    );
  });
});

describe('joinDomains', () => {
  it('chooses evenly within each domain, and every sample says its domain', async () => {
    const joined = joinDomains([domain('english', 8, 2), domain('python', 4)]);
    expect(joined.count).toBe(12);
    const chosen = joined.choose!(3, undefined);
    // 2 of 8 at 2 and 6, 1 of 4 at 2 behind the first eight.
    expect(chosen).toEqual([2, 6, 10]);
    const seen: string[] = [];
    for await (const { domain: name, values } of joined.read(chosen)) {
      seen.push(`${name} ${values.get('input_ids')!.data[0]}`);
    }
    expect(seen).toEqual(['english 2', 'english 6', 'python 2']);
  });

  it('draws by a seed within each domain, the same every time', () => {
    const joined = joinDomains([domain('a', 50), domain('b', 50)]);
    const drawn = joined.choose!(10, 7);
    expect(drawn).toEqual(joined.choose!(10, 7));
    expect(drawn).not.toEqual(joined.choose!(10, 8));
    expect(drawn.filter((index) => index < 50)).toHaveLength(5);
  });
});
