import { dropUnused } from './drop-unused.ts';
import { editGraph, nameMaker, nodeNameMaker } from './edit.ts';
import type { Graph, Node, ValueInfo } from './model.ts';
import type { Tensor } from './tensor.ts';

/** Changes to one graph, gathered layer by layer and made at once. */
export interface Rewrite {
  readonly graph: Graph;
  /** Makes a name that is free in the graph and among those made before. */
  readonly freshName: (wanted: string) => string;
  /** New nodes that must stand before an existing one. */
  readonly before: Map<Node, Node[]>;
  readonly instead: Map<Node, readonly Node[]>;
  readonly added: Map<string, Tensor>;
  /** Constants and nodes that go if nobody reads them any more. */
  readonly perhapsUnused: Set<string>;
}

/** Returns an empty rewrite of `graph`. */
export function beginRewrite(graph: Graph): Rewrite {
  return {
    graph,
    freshName: nameMaker(graph),
    before: new Map(),
    instead: new Map(),
    added: new Map(),
    perhapsUnused: new Set(),
  };
}

/** Puts new nodes in front of `node`, after those put there before. */
export function insertBefore(rewrite: Rewrite, node: Node, nodes: readonly Node[]): void {
  const known = rewrite.before.get(node);
  if (known === undefined) rewrite.before.set(node, [...nodes]);
  else known.push(...nodes);
}

/** Adds a constant under a fresh name made from its own and returns that name. */
export function addConstant(rewrite: Rewrite, tensor: Tensor): string {
  const name = rewrite.freshName(tensor.name);
  rewrite.added.set(name, { ...tensor, name });
  return name;
}

/** Returns the graph with everything gathered, without the constants that lost their last reader. */
export function finishRewrite(rewrite: Rewrite, valueInfo: ReadonlyMap<string, ValueInfo>): Graph {
  const { before, instead, added, perhapsUnused, graph } = rewrite;
  const replace = new Map<Node, readonly Node[]>();
  for (const node of new Set([...before.keys(), ...instead.keys()])) {
    replace.set(node, [...(before.get(node) ?? []), ...(instead.get(node) ?? [node])]);
  }
  const edited = editGraph(graph, {
    replace: withNodeNames(graph, replace),
    addInitializers: added.values(),
    valueInfo,
  });
  return dropUnused(edited, perhapsUnused);
}

/**
 * Returns `replace`, nodes of `graph` with what takes their place, in which new nodes without a name are
 * named after what they make, by names that are free.
 */
export function withNodeNames(
  graph: Graph,
  replace: ReadonlyMap<Node, readonly Node[]>,
): ReadonlyMap<Node, readonly Node[]> {
  const freshName = nodeNameMaker(graph, [...replace.values()].flat());
  const named = (node: Node): Node =>
    node.name !== '' || replace.has(node)
      ? node
      : { ...node, name: freshName(`${node.outputs[0]}_node`) };
  return new Map([...replace].map(([node, made]) => [node, made.map(named)]));
}
