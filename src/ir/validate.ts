import { subgraphs } from './attributes.ts';
import type { Graph, Model } from './model.ts';

/**
 * Returns the broken invariants of a model as sentences, none for a sound one: value names are
 * defined once, every read value is defined before it is read (which makes the graph acyclic, as
 * ONNX asks for topological order), every output exists, node names are not repeated.
 */
export function validate(model: Model): readonly string[] {
  const problems: string[] = [];
  validateGraph(model.graph, new Set(), problems);
  return problems;
}

function validateGraph(graph: Graph, outer: ReadonlySet<string>, problems: string[]): void {
  const where = `graph ${graph.name}`;
  const defined = new Set(outer);
  const own = new Set<string>();
  const define = (name: string, by: string): void => {
    if (own.has(name)) problems.push(`${where}: ${name} is defined twice (again by ${by}).`);
    own.add(name);
    defined.add(name);
  };
  defineConstants(graph, own, define, problems);
  const nodeNames = new Set<string>();
  for (const node of graph.nodes) {
    const label = node.name === '' ? node.opType : node.name;
    if (node.name !== '' && nodeNames.has(node.name)) {
      problems.push(`${where}: two nodes are named ${node.name}.`);
    }
    nodeNames.add(node.name);
    for (const input of node.inputs) {
      if (input === '' || defined.has(input)) continue;
      problems.push(`${where}: ${label} reads ${input}, which nothing before it defines.`);
    }
    for (const inner of subgraphs(node)) validateGraph(inner, defined, problems);
    for (const output of node.outputs) if (output !== '') define(output, label);
  }
  for (const output of graph.outputs) {
    if (!defined.has(output.name)) problems.push(`${where}: output ${output.name} is not made.`);
  }
}

function defineConstants(
  graph: Graph,
  own: ReadonlySet<string>,
  define: (name: string, by: string) => void,
  problems: string[],
): void {
  for (const input of graph.inputs) define(input.name, 'an input');
  for (const [name, tensor] of graph.initializers) {
    if (tensor.name !== name) {
      problems.push(`graph ${graph.name}: initializer ${name} is named ${tensor.name}.`);
    }
    // Before IR version 4 every initializer was a graph input as well.
    if (!own.has(name)) define(name, 'an initializer');
  }
  for (const sparse of graph.sparseInitializers) define(sparse.values.name, 'an initializer');
}
