import { createRandom, shuffle } from '../../numerics/random.ts';
import type { SampleList } from '../sample.ts';

/**
 * Returns `wanted` of the indices 0 .. count-1, ascending: evenly spaced, or drawn without
 * replacement by `seed`. All when `wanted` is absent or not less than `count`.
 */
export function chooseSamples(
  count: number,
  wanted: number | undefined,
  seed: number | undefined,
): readonly number[] {
  const all = Array.from({ length: count }, (_, index) => index);
  if (wanted === undefined || wanted >= count) return all;
  if (seed !== undefined) {
    return shuffle(all, createRandom(seed))
      .slice(0, wanted)
      .sort((a, b) => a - b);
  }
  return Array.from({ length: wanted }, (_, index) => Math.floor(((index + 0.5) * count) / wanted));
}

/** Every fifth sample of bare data is held out: 80/20, and fair to data sorted by class or date. */
const HELD_OUT_EVERY = 5;

/** Returns the part of a list that a split of bare data gets. */
export function splitBare(list: SampleList, heldOut: boolean): SampleList {
  const own = Array.from({ length: list.count }, (_, index) => index).filter(
    (index) => (index % HELD_OUT_EVERY === HELD_OUT_EVERY - 1) === heldOut,
  );
  return { count: own.length, read: (indices) => list.read(indices.map((index) => own[index]!)) };
}
