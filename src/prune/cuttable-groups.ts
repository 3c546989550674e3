import { UnsupportedError } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import { applyPruning } from './apply-pruning.ts';
import type { DeclinedGroup, PruneGroup, PruneGroups } from './group.ts';
import type { Cut } from './kept-axes.ts';

/**
 * Returns the groups of which the graph takes a cut: every size that depends on them can follow. Others are declined
 * with the node whose size cannot. Tried on the graph alone, all groups at once unless that fails.
 */
export function cuttableGroups(model: Model, found: PruneGroups): PruneGroups {
  const { groups } = found;
  if (whyNotCut(model, groups.map(smallestCut)) === undefined) return found;
  const declined: DeclinedGroup[] = [...found.declined];
  const cuttable = groups.filter((group) => {
    const reason = whyNotCut(model, [smallestCut(group)]);
    if (reason !== undefined) declined.push({ name: group.name, ...reason });
    return reason === undefined;
  });
  return { groups: cuttable, declined };
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
