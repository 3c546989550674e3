import { editGraph } from './edit.ts';
import { indexUses } from './index-uses.ts';
import type { Graph, Node } from './model.ts';

/**
 * Returns the graph without those of the `candidates`, constants and values that nodes make, that nobody reads.
 * Values come after what they are made of in the list. Graph inputs of removed constants go too.
 */
export function dropUnused(graph: Graph, candidates: ReadonlySet<string>): Graph {
  const { producers, uses, outputs } = indexUses(graph);
  const removedNodes = new Set<Node>();
  const removedInitializers = new Set<string>();
  const isUnused = (name: string): boolean =>
    !outputs.has(name) && (uses.get(name) ?? []).every(({ node }) => removedNodes.has(node));
  // Readers come after what they read, so the last candidates must go first.
  for (const name of [...candidates].reverse()) {
    if (!isUnused(name)) continue;
    const producer = producers.get(name);
    if (producer === undefined) removedInitializers.add(name);
    else if (producer.outputs.every(isUnused)) removedNodes.add(producer);
  }
  const valueInfo = new Map(graph.valueInfo);
  for (const node of removedNodes) for (const output of node.outputs) valueInfo.delete(output);
  const replace = new Map([...removedNodes].map((node) => [node, []] as const));
  const trimmed = editGraph(graph, { replace, removeInitializers: removedInitializers, valueInfo });
  const inputs = trimmed.inputs.filter(({ name }) => !removedInitializers.has(name));
  return inputs.length === trimmed.inputs.length ? trimmed : { ...trimmed, inputs };
}
