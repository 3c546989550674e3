import { describe, expect, it } from 'vitest';
import type { TensorValue } from '../../../src/values/tensor-value.ts';
import { watchBranches } from '../../../src/workflows/proof/branches-taken.ts';
import { merged, nested } from '../../quantize/body-models.ts';

function choice(value: boolean): TensorValue {
  return { dataType: 'bool', dims: [1], data: Uint8Array.of(Number(value)) };
}

describe('watchBranches', () => {
  it('names the branch that no sample took', () => {
    const watch = watchBranches(merged());
    watch.see(new Map([['use_cache', choice(false)]]));
    watch.see(new Map([['use_cache', choice(false)]]));
    expect(watch.oneSided()).toEqual([
      'use_cache was false in every sample, so the then_branch that it leaves out was not compared.',
    ]);
  });

  it('has nothing to say when samples took both', () => {
    const watch = watchBranches(merged());
    watch.see(new Map([['use_cache', choice(false)]]));
    watch.see(new Map([['use_cache', choice(true)]]));
    expect(watch.oneSided()).toEqual([]);
  });

  it('looks at conditions inside branches, too', () => {
    const watch = watchBranches(nested());
    watch.see(
      new Map([
        ['flag', choice(true)],
        ['deep', choice(true)],
      ]),
    );
    watch.see(
      new Map([
        ['flag', choice(false)],
        ['deep', choice(true)],
      ]),
    );
    expect(watch.oneSided()).toEqual([
      'deep was true in every sample, so the else_branch that it leaves out was not compared.',
    ]);
  });
});
