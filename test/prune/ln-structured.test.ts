import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { Tensor } from '../../src/ir/tensor.ts';
import { float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { axisNorms } from '../../src/prune/axis-norms.ts';
import { chooseUnits } from '../../src/prune/choose-units.ts';
import { countToPrune } from '../../src/prune/count-units.ts';
import { root } from '../kit/paths.ts';

// Large sums, checked for many seeds: seconds on busy cores.
vi.setConfig({ testTimeout: 60_000 });

interface Case {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly seed: number;
  readonly dim: number;
  readonly n: 1 | 2;
  readonly amount: number;
  readonly pruned: readonly (readonly [number, number])[];
}

interface Golden {
  readonly counts: readonly {
    readonly amount: number;
    readonly size: number;
    readonly count: number;
  }[];
  readonly cases: readonly Case[];
}

const golden: Golden = JSON.parse(
  readFileSync(join(root, 'fixtures/prune/ln-structured.json'), 'utf8'),
);

/** torch counts negative axes from the end, and takes a whole number as a count. */
const cases = golden.cases.map((found) => ({
  ...found,
  dim: found.dim < 0 ? found.dim + found.shape.length : found.dim,
}));

function mix(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The tensor of a case, row by row, by the generator that the file describes. */
function tensorOf({ shape, seed, dim }: Case): Tensor {
  const size = shape[dim]!;
  const inner = shape.slice(dim + 1).reduce((product, one) => product * one, 1);
  const amplitudes = Int32Array.from(
    { length: size },
    (_, c) => 512 + (mix(Math.imul(c + 1, 0x9e3779b1) ^ seed) >>> 23),
  );
  const element = (i: number): number => {
    const a = amplitudes[Math.floor(i / inner) % size]!;
    const share = mix(Math.imul(i + 1, 0x85ebca77) ^ seed) >>> 16;
    return (Math.floor((share * (2 * a + 1)) / 65536) - a) / 16384;
  };
  const byteLength = 2 * shape.reduce((product, one) => product * one, 1);
  return {
    name: 'weight',
    dataType: 'float16',
    dims: shape,
    source: {
      byteLength,
      async read(into, offset) {
        const values = Float32Array.from({ length: into.length / 2 }, (_, at) =>
          element(offset / 2 + at),
        );
        into.set(new Uint8Array(float32ArrayToFloat16(values).buffer));
      },
    },
  };
}

describe('torch.nn.utils.prune.ln_structured', () => {
  it.each(golden.counts)('counts $count of $size at $amount', ({ amount, size, count }) => {
    expect(countToPrune(amount, size)).toBe(count);
  });

  it.each(cases)(
    'removes the same of $shape along $dim by L$n at $amount (seed $seed)',
    async (found) => {
      const { shape, dim, n, amount, pruned } = found;
      const size = shape[dim]!;
      const scores = await axisNorms({ tensor: tensorOf(found), axis: dim, scale: undefined }, n);
      const removed = chooseUnits(
        { unitCount: size, blockCount: 1 },
        scores,
        Number.isInteger(amount) ? amount : countToPrune(amount, size),
      );
      const expected = pruned.flatMap(([first, last]) =>
        Array.from({ length: last - first + 1 }, (_, at) => first + at),
      );
      expect(removed).toEqual(expected);
    },
    60_000,
  );
});
