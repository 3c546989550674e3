import { Tensor as OrtTensor } from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { PruneGroup } from '../../src/prune/group.ts';
import type { Cut } from '../../src/prune/kept-axes.ts';
import { maskedReference } from '../../src/prune/masked-reference.ts';
import { noise } from '../kit/models.ts';
import { runModel } from '../kit/run-model.ts';
import { type Dice, dice } from './graph-builder.ts';
import { plainlyMasked } from './plainly-masked.ts';
import { type RandomGraph, randomGraph } from './random-graph.ts';

/** 40 in every run; `AUTOGLM_RANDOM_GRAPHS=200` tries more, from seed `AUTOGLM_RANDOM_FIRST` on. */
const COUNT = Number(process.env['AUTOGLM_RANDOM_GRAPHS'] ?? 40);
const FIRST = Number(process.env['AUTOGLM_RANDOM_FIRST'] ?? 0);

/**
 * onnxruntime computes these by vectors of 4 to 16 elements and the rest of a tensor one by one, by a formula that
 * rounds otherwise. Where a tensor is shorter, other elements are the rest: they differ in the last bit, and what
 * is summed of them by a few units of the last place of the largest.
 */
const VECTOR_TAILS = /gelu|silu|sigmoid|tanh|gated pool|squeeze|instance|group$/;
const TAIL_TOLERANCE = 1e-6;

/**
 * Random units, equally many from each stretch. Two stay where there are three: a product with one column or one
 * row is computed by another kernel, in another order.
 */
function randomCut(random: Dice, group: PruneGroup): Cut {
  const { unitCount, blockCount } = group;
  const size = unitCount / blockCount;
  const most = Math.max(size - 2, Math.min(size - 1, 1));
  const count = most === 0 ? 0 : 1 + random.below(most);
  const removed = Array.from({ length: blockCount }, (_, block) =>
    random.subset(size, count).map((unit) => block * size + unit),
  );
  return { group, removed: removed.flat() };
}

/** Weights that are computed are not packed, so those that are stored must not be either: kernels differ. */
async function outputOf(model: Model, graph: RandomGraph): Promise<Float32Array> {
  const count = graph.dims.reduce((product, dim) => product * dim, 1);
  const values = noise(7, count).map((x) => (graph.isInteger ? Math.round(2 * x) : x));
  const x = new OrtTensor('float32', values, graph.dims);
  const { outputs } = await runModel(model, [{ x }], { disable_prepacking: '1' }, 'disabled');
  return outputs.get(model.graph.outputs[0]!.name)!;
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function difference(a: Float32Array, b: Float32Array): number {
  return a.length === b.length ? largest(a.map((value, index) => value - b[index]!)) : Infinity;
}

const seen = { exact: 0, tails: 0, groups: 0, nothing: 0, declined: new Map<string, number>() };

describe('pruning random graphs', () => {
  it.each(Array.from({ length: COUNT }, (_, index) => FIRST + index))(
    'graph %d gives the bits of its masked original, or says what is in the way',
    async (seed) => {
      const graph = randomGraph(seed);
      const { model, parts, isInteger } = graph;
      const about = `seed ${seed} of dims ${graph.dims}: ${parts.join(', ')}`;
      const { groups, declined } = findGroups(model);
      for (const { name, node, reason } of declined) {
        expect(name && node && reason, about).toBeTruthy();
        seen.declined.set(reason, (seen.declined.get(reason) ?? 0) + 1);
      }
      const random = dice(seed + 1000);
      const cuts = groups.map((group) => randomCut(random, group));
      seen.groups += groups.length;
      if (cuts.every(({ removed }) => removed.length === 0)) seen.nothing++;
      const pruned = applyPruning(model, cuts);
      const own = await outputOf(pruned, graph);
      const reference = await outputOf(maskedReference(model, cuts), graph);
      const hasTails = parts.some((part) => VECTOR_TAILS.test(part));
      const allowed = hasTails ? TAIL_TOLERANCE * largest(reference) : 0;
      expect(largest(own), about).not.toBeNaN();
      expect(difference(own, reference), about).toBeLessThanOrEqual(allowed);
      if (isInteger) expect(own, about).toEqual(await outputOf(plainlyMasked(model, cuts), graph));
      if (difference(own, reference) === 0) seen.exact++;
      else seen.tails++;
      // What is left can be found and cut again, unless one unit alone or one end of a Concat is left.
      const left = cuts.map(({ group, removed }) => group.unitCount - removed.length);
      const isPlain = !parts.some((part) => /concat|dense|detour reshape/.test(part));
      if (isPlain && cuts.every(({ group }, index) => left[index]! > group.blockCount)) {
        expect(
          findGroups(pruned).groups.map(({ unitCount }) => unitCount),
          about,
        ).toEqual(left);
      }
    },
  );

  afterAll(() => {
    if (process.env['AUTOGLM_RANDOM_GRAPHS'] !== undefined) console.log(seen);
  });
});
