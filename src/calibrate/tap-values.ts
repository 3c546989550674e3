import { UsageError } from '../errors.ts';
import { capturedByNode, indexUses } from '../ir/index-uses.ts';
import type { Graph, Model, Node, ValueInfo } from '../ir/model.ts';
import { inferFacts } from '../passes/infer-facts.ts';

/**
 * Returns a model whose outputs are exactly the values `names` of the main graph, in that order, with
 * only the nodes and constants that they need. An initializer may be one of them: it is given out as
 * it is. Graph inputs stay, all of them, and are no outputs. Throws {@link UsageError} naming a value
 * that the graph does not hold.
 */
export function tapValues(model: Model, names: readonly string[]): Model {
  const { graph } = model;
  const { producers } = indexUses(graph);
  const facts = inferFacts(model).of(graph);
  const outputs = names.map((name): ValueInfo => {
    if (!producers.has(name) && !holdsConstant(graph, name)) {
      throw new UsageError(
        `value ${name}: no node of the main graph computes it. Choose one that "autoglm inspect" lists.`,
      );
    }
    const declared = graph.outputs.find((output) => output.name === name);
    const known = declared ?? graph.valueInfo.get(name);
    if (known?.type !== undefined) return known;
    const dataType = facts.get(name)?.dataType;
    return dataType === undefined ? { name } : { name, type: { kind: 'tensor', dataType } };
  });
  return { ...model, graph: withOutputs(graph, outputs, producers) };
}

function holdsConstant({ initializers, sparseInitializers }: Graph, name: string): boolean {
  return initializers.has(name) || sparseInitializers.some(({ values }) => values.name === name);
}

function withOutputs(
  graph: Graph,
  outputs: readonly ValueInfo[],
  producers: ReadonlyMap<string, Node>,
): Graph {
  const needed = new Set<Node>();
  const read = new Set<string>();
  const waiting = outputs.map(({ name }) => name);
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (read.has(name)) continue;
    read.add(name);
    const node = producers.get(name);
    if (node === undefined || needed.has(node)) continue;
    needed.add(node);
    waiting.push(...node.inputs, ...capturedByNode(node));
  }
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const own = (name: string): boolean => read.has(name);
  return {
    ...graph,
    nodes: graph.nodes.filter((node) => needed.has(node)),
    outputs,
    initializers: new Map(
      [...graph.initializers].filter(([name]) => own(name) || inputs.has(name)),
    ),
    sparseInitializers: graph.sparseInitializers.filter(({ values }) => own(values.name)),
    valueInfo: new Map([...graph.valueInfo].filter(([name]) => own(name))),
  };
}
