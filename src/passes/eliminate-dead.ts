import { capturedByNode } from '../ir/index-uses.ts';
import type { Graph, Node } from '../ir/model.ts';
import { mapSubgraphs } from './map-subgraphs.ts';
import type { Pass } from './pass.ts';

/**
 * Removes nodes and initializers that no graph output depends on, and their value infos; in bodies too.
 * Graph inputs stay, whether read or not.
 */
export const eliminateDead: Pass = {
  name: 'eliminate-dead',
  description: 'removes nodes and constants that no output depends on',
  run(model) {
    const graph = sweep(model.graph);
    return graph === model.graph ? model : { ...model, graph };
  },
};

function sweep(graph: Graph): Graph {
  const live = new Set(graph.outputs.map(({ name }) => name));
  const kept: Node[] = [];
  // Backward, so that one walk finds whole chains.
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => live.has(output))) continue;
    const swept = mapSubgraphs(node, sweep);
    for (const name of [...swept.inputs, ...capturedByNode(swept)]) live.add(name);
    kept.push(swept);
  }
  const nodes = kept.reverse();
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const isLive = (name: string): boolean => live.has(name) || inputs.has(name);
  const initializers = [...graph.initializers].filter(([name]) => isLive(name));
  const sparseInitializers = graph.sparseInitializers.filter(({ values }) => isLive(values.name));
  const same =
    nodes.length === graph.nodes.length &&
    nodes.every((node, index) => node === graph.nodes[index]) &&
    initializers.length === graph.initializers.size &&
    sparseInitializers.length === graph.sparseInitializers.length;
  if (same) return graph;
  const made = new Set([...inputs, ...nodes.flatMap((node) => node.outputs)]);
  const valueInfo = new Map(
    [...graph.valueInfo].filter(([name]) => made.has(name) || isLive(name)),
  );
  return { ...graph, nodes, initializers: new Map(initializers), sparseInitializers, valueInfo };
}
