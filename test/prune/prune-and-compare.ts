/** Cuts a small graph in every group and runs it in onnxruntime beside its masked original. */
import { Tensor as OrtTensor } from 'onnxruntime-node';
import type { Model } from '../../src/ir/model.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { cuttableGroups } from '../../src/prune/cuttable-groups.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { PruneGroup, PruneGroups } from '../../src/prune/group.ts';
import type { Cut } from '../../src/prune/kept-axes.ts';
import { maskedReference } from '../../src/prune/masked-reference.ts';
import { noise } from '../kit/models.ts';
import { type Feeds, runModel } from '../kit/run-model.ts';
import { dice, GraphBuilder } from './graph-builder.ts';

/** Batch and sequence of the input `x`, whose last axis has 8 channels. */
export const SIZES = { B: 2, T: 5 } as const;

/** A builder of graphs with dynamic sizes and constants of their own. */
export function dynamicBuilder(opset = 18, seed = 1): GraphBuilder {
  return new GraphBuilder({
    dice: dice(seed),
    opset,
    sizes: SIZES,
    isStatic: false,
    isInteger: false,
    sharesConstants: false,
  });
}

export function floatTensor(seed: number, ...dims: readonly number[]): OrtTensor {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return new OrtTensor('float32', noise(seed, count), dims);
}

/** `[2, 5, 8]`, as the graphs of the builder take it. */
export const X: OrtTensor = floatTensor(7, SIZES.B, SIZES.T, 8);

/** The second of every three units of each stretch, so that what stays has gaps; the first of two. */
export function everyThird({ unitCount, blockCount }: PruneGroup): readonly number[] {
  const size = unitCount / blockCount;
  const of = (unit: number): boolean => (size < 3 ? unit === 0 : unit % 3 === 1);
  return Array.from({ length: unitCount }, (_, unit) => unit).filter((unit) => of(unit % size));
}

export interface Compared {
  readonly found: PruneGroups;
  /** `kind units/stretches` of each group. */
  readonly groups: readonly string[];
  readonly pruned: Model;
  /** Largest difference of any output; infinite where shapes differ. */
  readonly difference: number;
}

/** Cuts every group and compares all outputs; `feedsAfter` are for the cut model where they differ. */
export async function pruneAndCompare(
  model: Model,
  feeds: Feeds,
  feedsAfter: (cuts: readonly Cut[]) => Feeds = () => feeds,
): Promise<Compared> {
  const found = cuttableGroups(model, findGroups(model));
  const cuts = found.groups.map((group) => ({ group, removed: everyThird(group) }));
  const pruned = applyPruning(model, cuts);
  const run = async (one: Model, given: Feeds) =>
    (await runModel(one, [given], { disable_prepacking: '1' }, 'disabled')).outputs;
  const own = await run(pruned, feedsAfter(cuts));
  const reference = await run(maskedReference(model, cuts), feeds);
  let difference = 0;
  for (const [name, expected] of reference) {
    const values = own.get(name)!;
    if (values.length !== expected.length) difference = Number.POSITIVE_INFINITY;
    expected.forEach((value, at) => {
      difference = Math.max(difference, Math.abs(value - values[at]!));
    });
  }
  const groups = found.groups.map(
    ({ kind, unitCount, blockCount }) => `${kind} ${unitCount}/${blockCount}`,
  );
  return { found, groups, pruned, difference };
}

/** Reasons why products cannot lose channels, without those of the residual stream. */
export function obstacles({ declined }: PruneGroups): readonly string[] {
  return declined
    .filter(({ node }) => node !== 'x' && node !== 'y')
    .map(({ node, reason }) => `${node}: ${reason}`);
}
