/** Cuts a random graph at random and holds it against two masked originals, by somebody else's arithmetic. */
import { Tensor as OrtTensor } from 'onnxruntime-node';
import type { Model } from '../../src/ir/model.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { cuttableGroups } from '../../src/prune/cuttable-groups.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { PruneGroup, PruneGroups } from '../../src/prune/group.ts';
import type { Cut } from '../../src/prune/kept-axes.ts';
import { maskedReference } from '../../src/prune/masked-reference.ts';
import { noise } from '../kit/models.ts';
import { runModel } from '../kit/run-model.ts';
import { type Dice, dice } from './graph-builder.ts';
import { plainlyMasked } from './plainly-masked.ts';
import { type RandomGraph, randomGraph } from './random-graph.ts';

/**
 * onnxruntime computes these by vectors of 4 to 16 elements and the rest of a tensor one by one, by a formula that
 * rounds otherwise. Where a tensor is shorter, other elements are the rest: they differ in the last bit, and what
 * is summed of them by a few units of the last place of the largest.
 */
const VECTOR_TAILS = /gelu|silu|sigmoid|tanh|gated pool|squeeze|instance|group$/;
const TAIL_TOLERANCE = 1e-6;

/** What became of one graph. */
export interface Judgement {
  readonly graph: RandomGraph;
  /** Names the graph in a failure. */
  readonly about: string;
  readonly found: PruneGroups;
  readonly cuts: readonly Cut[];
  readonly pruned: Model;
  /** Largest output; NaN where the graph gives none. */
  readonly largest: number;
  /** Largest difference from the masked original whose sums have the order of the cut. */
  readonly difference: number;
  /** What of it rounding of vector tails may make. */
  readonly allowed: number;
  /** What of it any other choice of kernels may make: parts of a Concat are left with one column. */
  readonly rounding: number;
  /** The same from an original masked in place, for integer weights alone, whose sums have no order. */
  readonly plainDifference: number;
}

/** Returns what became of the graph of a seed. */
export async function judgeRandomGraph(seed: number): Promise<Judgement> {
  const graph = randomGraph(seed);
  const { model, parts, isInteger } = graph;
  const found = cuttableGroups(model, findGroups(model));
  const random = dice(seed + 1000);
  const cuts = found.groups.map((group) => randomCut(random, group));
  const pruned = applyPruning(model, cuts);
  const own = await outputOf(pruned, graph);
  const reference = await outputOf(maskedReference(model, cuts), graph);
  const hasTails = parts.some((part) => VECTOR_TAILS.test(part));
  return {
    graph,
    about: `seed ${seed} of dims ${graph.dims}: ${parts.join(', ')}`,
    found,
    cuts,
    pruned,
    largest: largest(own),
    difference: difference(own, reference),
    allowed: hasTails ? TAIL_TOLERANCE * largest(reference) : 0,
    rounding: TAIL_TOLERANCE * largest(reference),
    plainDifference: isInteger
      ? difference(own, await outputOf(plainlyMasked(model, cuts), graph))
      : 0,
  };
}

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
