import { capturedByNode, indexUses } from '../ir/index-uses.ts';
import type { Graph, Node } from '../ir/model.ts';

/** Operators whose result is another one each time. */
const RANDOM = /^(Random|Multinomial|Bernoulli|Dropout)/;

/**
 * Returns the nodes of a graph in topological order that depend on constants alone: they give the
 * same in every run, so that runtimes compute them when they load the model.
 */
export function constantNodes(graph: Graph): ReadonlySet<Node> {
  const { producers } = indexUses(graph);
  const fed = new Set(
    graph.inputs.map(({ name }) => name).filter((name) => !graph.initializers.has(name)),
  );
  const constant = new Set<Node>();
  // In topological order, so that producers are known before their readers.
  for (const node of graph.nodes) {
    if (RANDOM.test(node.opType)) continue;
    const isConstant = [...node.inputs, ...capturedByNode(node)].every((name) => {
      const producer = producers.get(name);
      return producer === undefined ? !fed.has(name) : constant.has(producer);
    });
    if (isConstant) constant.add(node);
  }
  return constant;
}

/** Returns the values of a graph that are the same in every run: initializers and what is made of them. */
export function constantValues(graph: Graph): ReadonlySet<string> {
  const made = [...constantNodes(graph)].flatMap(({ outputs }) => outputs);
  const sparse = graph.sparseInitializers.map(({ values }) => values.name);
  return new Set([...graph.initializers.keys(), ...sparse, ...made]);
}
