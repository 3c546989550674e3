import { allNodes } from '../../ir/all-nodes.ts';
import type { Model } from '../../ir/model.ts';
import { toFloat32 } from '../../values/element-array.ts';
import type { Feeds } from '../../values/tensor-value.ts';

/** Which values the inputs that choose between branches have had. */
export interface BranchWatch {
  /** Notes the feeds of one run. */
  see(feeds: Feeds): void;
  /** One sentence for every input that only ever chose one branch. */
  oneSided(): readonly string[];
}

/**
 * Returns a watch over the inputs of a model that are the condition of an If, as `use_cache_branch` of a merged
 * decoder: what a branch computes that no sample takes has not been compared.
 */
export function watchBranches({ graph }: Model): BranchWatch {
  const conditions = new Set<string>();
  for (const { opType, inputs } of allNodes(graph)) {
    if (opType === 'If' && inputs[0] !== undefined) conditions.add(inputs[0]);
  }
  const seen = new Map<string, Set<boolean>>();
  return {
    see(feeds) {
      for (const [name, value] of feeds) {
        if (!conditions.has(name)) continue;
        const values = seen.get(name) ?? new Set();
        seen.set(name, values.add(toFloat32(value)[0] !== 0));
      }
    },
    oneSided() {
      return [...seen]
        .filter(([, values]) => values.size === 1)
        .map(([name, [value]]) => {
          const branch = value ? 'else_branch' : 'then_branch';
          return `${name} was ${value} in every sample, so the ${branch} that it leaves out was not compared.`;
        });
    },
  };
}
