import { describe, expect, it } from 'vitest';
import { findGroups } from '../../src/prune/find-groups.ts';
import { judgeRandomGraph } from './judge-random-graph.ts';

/** `npm run bench` tries 200. */
const COUNT = 40;

describe('pruning random graphs', () => {
  it.each(Array.from({ length: COUNT }, (_, seed) => seed))(
    'graph %d gives the bits of its masked original, or says what is in the way',
    async (seed) => {
      const judged = await judgeRandomGraph(seed);
      const { graph, about, found, cuts, pruned } = judged;
      for (const { name, node, reason } of found.declined)
        expect(name && node && reason, about).toBeTruthy();
      expect(judged.largest, about).not.toBeNaN();
      expect(judged.difference, about).toBeLessThanOrEqual(judged.allowed);
      expect(judged.plainDifference, about).toBe(0);
      // What is left can be found and cut again, unless one unit alone or one end of a Concat is left.
      const left = cuts.map(({ group, removed }) => group.unitCount - removed.length);
      const isPlain = !graph.parts.some((part) => /concat|dense|detour reshape/.test(part));
      if (isPlain && cuts.every(({ group }, index) => left[index]! > group.blockCount)) {
        expect(
          findGroups(pruned).groups.map(({ unitCount }) => unitCount),
          about,
        ).toEqual(left);
      }
    },
  );
});
