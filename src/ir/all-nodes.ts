import { subgraphs } from './attributes.ts';
import type { Graph, Node } from './model.ts';

/** Yields the nodes of a graph and of all bodies in it, each before the nodes of its bodies. */
export function* allNodes(graph: Graph): Generator<Node> {
  for (const node of graph.nodes) {
    yield node;
    for (const body of subgraphs(node)) yield* allNodes(body);
  }
}
