import { subgraphs } from '../../ir/attributes.ts';
import type { Graph, Model, Node, ValueInfo } from '../../ir/model.ts';
import { refuse } from './refuse.ts';

/**
 * Verifies that every value name means exactly one thing where it is read: inputs are distinct,
 * nodes do not redefine inputs or initializers, and nothing reads a name that nothing makes. Throws
 * FormatError naming the graph, the node and the value.
 */
export function verifyNames(model: Model, where: string): void {
  verifyGraph(model.graph, () => false, where);
  for (const definition of model.functions) {
    const at = `${where}: function ${definition.name}`;
    const values = new Set<string>();
    for (const name of definition.inputs) addOnce(values, name, at);
    verifyNodes(definition.nodes, values, () => false, at);
    for (const name of definition.outputs) verifyMade(name, values, () => false, at, 'an output');
  }
}

type IsVisible = (name: string) => boolean;

function verifyGraph(graph: Graph, outer: IsVisible, where: string): void {
  const values = new Set<string>();
  for (const input of graph.inputs) addOnce(values, input.name, where);
  for (const name of graph.initializers.keys()) values.add(name);
  for (const { values: tensor } of graph.sparseInitializers) values.add(tensor.name);
  verifyNodes(graph.nodes, values, outer, where);
  for (const { name } of graph.outputs) verifyMade(name, values, outer, where, 'an output');
}

function verifyNodes(
  nodes: readonly Node[],
  values: Set<string>,
  outer: IsVisible,
  where: string,
): void {
  for (const node of nodes) {
    const isVisible: IsVisible = (name) => values.has(name) || outer(name);
    for (const name of node.inputs) {
      if (name !== '') verifyMade(name, values, outer, where, `node ${labelOf(node)}`);
    }
    for (const graph of subgraphs(node)) {
      verifyGraph(graph, isVisible, `${where}: subgraph of ${labelOf(node)}`);
    }
    for (const name of node.outputs) if (name !== '') addOnce(values, name, where);
  }
}

function addOnce(values: Set<string>, name: ValueInfo['name'], where: string): void {
  if (values.has(name)) refuse(where, `the value "${name}" is defined twice`);
  values.add(name);
}

function verifyMade(
  name: string,
  values: ReadonlySet<string>,
  outer: IsVisible,
  where: string,
  reader: string,
): void {
  if (!values.has(name) && !outer(name)) {
    refuse(where, `${reader} reads "${name}", which nothing makes`);
  }
}

function labelOf(node: Node): string {
  return `${node.name === '' ? `of "${node.outputs[0] ?? ''}"` : `"${node.name}"`} (${node.opType})`;
}
