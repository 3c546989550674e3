import type { UseIndex } from '../ir/index-uses.ts';
import type { Node } from '../ir/model.ts';

const TRANSPARENT: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Transpose']);

/** The nodes that compute with a constant, behind Identity, Cast and Transpose. */
export interface WeightConsumers {
  readonly nodes: ReadonlySet<Node>;
  /** True when a subgraph or a graph output reads the constant too. */
  readonly escapes: boolean;
}

/** Returns who really uses the constant `name`. */
export function weightConsumers(index: UseIndex, name: string): WeightConsumers {
  const nodes = new Set<Node>();
  let escapes = false;
  const pending = [name];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (index.outputs.has(value)) escapes = true;
    for (const { node, inputIndex } of index.uses.get(value) ?? []) {
      if (inputIndex < 0) escapes = true;
      else if (TRANSPARENT.has(node.opType)) pending.push(...node.outputs);
      else nodes.add(node);
    }
  }
  return { nodes, escapes };
}
