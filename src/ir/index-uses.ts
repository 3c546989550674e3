import { subgraphs } from './attributes.ts';
import type { Graph, Node } from './model.ts';

/** One place where a node of the indexed graph reads a value. */
export interface Use {
  readonly node: Node;
  /** Position in `node.inputs`; -1 when a subgraph of the node captures the value. */
  readonly inputIndex: number;
}

/** Who makes and who reads each value of one graph. Subgraph captures count as reads of the outer node. */
export interface UseIndex {
  readonly producers: ReadonlyMap<string, Node>;
  readonly uses: ReadonlyMap<string, readonly Use[]>;
  readonly outputs: ReadonlySet<string>;
}

/** Returns producers and uses of all values of `graph`, in node order. */
export function indexUses(graph: Graph): UseIndex {
  const producers = new Map<string, Node>();
  const uses = new Map<string, Use[]>();
  const add = (name: string, use: Use): void => {
    if (name === '') return;
    const known = uses.get(name);
    if (known === undefined) uses.set(name, [use]);
    else known.push(use);
  };
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output !== '') producers.set(output, node);
    node.inputs.forEach((name, inputIndex) => {
      add(name, { node, inputIndex });
    });
    for (const name of capturedByNode(node)) add(name, { node, inputIndex: -1 });
  }
  return { producers, uses, outputs: new Set(graph.outputs.map((output) => output.name)) };
}

/** Returns the names of outer values that the subgraphs of a node read. */
export function capturedByNode(node: Node): ReadonlySet<string> {
  const captured = new Set<string>();
  for (const graph of subgraphs(node)) {
    for (const name of capturedByGraph(graph)) captured.add(name);
  }
  return captured;
}

function capturedByGraph(graph: Graph): ReadonlySet<string> {
  const own = new Set<string>(graph.inputs.map((input) => input.name));
  for (const name of graph.initializers.keys()) own.add(name);
  for (const sparse of graph.sparseInitializers) own.add(sparse.values.name);
  const captured = new Set<string>();
  const read = (name: string): void => {
    if (name !== '' && !own.has(name)) captured.add(name);
  };
  for (const node of graph.nodes) {
    node.inputs.forEach(read);
    capturedByNode(node).forEach(read);
    for (const output of node.outputs) own.add(output);
  }
  for (const output of graph.outputs) read(output.name);
  return captured;
}
