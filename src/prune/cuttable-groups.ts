import { UnsupportedError } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import { applyPruning } from './apply-pruning.ts';
import type { DeclinedGroup, PruneGroup, PruneGroups } from './group.ts';
import type { Cut } from './kept-axes.ts';

/**
 * Returns the groups of which the graph takes a cut: every size that depends on them can follow. Others are declined
 * with the node whose size cannot. Tried on the graph alone: all groups at once, and where that fails by halves,
 * so that a few bad ones among hundreds cost little.
 */
export function cuttableGroups(model: Model, found: PruneGroups): PruneGroups {
  const declined: DeclinedGroup[] = [...found.declined];
  const cuttable: PruneGroup[] = [];
  const add = (groups: readonly PruneGroup[]): void => {
    const obstacle = whyNotCut(model, [...cuttable, ...groups].map(smallestCut));
    if (obstacle === undefined) {
      cuttable.push(...groups);
      return;
    }
    const [first] = groups;
    if (first === undefined) return;
    if (groups.length === 1) {
      declined.push({ name: first.name, ...obstacle });
      return;
    }
    const half = Math.ceil(groups.length / 2);
    add(groups.slice(0, half));
    add(groups.slice(half));
  };
  add(found.groups);
  return declined.length === found.declined.length ? found : { groups: cuttable, declined };
}

/** One unit of each stretch. */
function smallestCut(group: PruneGroup): Cut {
  const { unitCount, blockCount } = group;
  const size = unitCount / blockCount;
  const removed = size < 2 ? [] : Array.from({ length: blockCount }, (_, block) => block * size);
  return { group, removed };
}

function whyNotCut(
  model: Model,
  cuts: readonly Cut[],
): { readonly node: string; readonly reason: string } | undefined {
  try {
    applyPruning(model, cuts);
    return undefined;
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    const [node = '', ...rest] = error.message.split(': ');
    return { node, reason: rest.join(': ').replace(/ Leave its layer out .*$/, '') };
  }
}
