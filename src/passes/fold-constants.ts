import { subgraphs } from '../ir/attributes.ts';
import { editGraph } from '../ir/edit.ts';
import type { Graph, Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { type Facts, numbersOf } from '../ops/op-spec.ts';
import { tensorOfElements } from '../ops/tensor-elements.ts';
import { inferFacts, type ModelFacts } from './infer-facts.ts';
import { mapSubgraphs } from './map-subgraphs.ts';
import type { Pass } from './pass.ts';

/** Larger results are weights in disguise; they stay computed. */
const MAX_FOLDED_BYTES = 4096;

/**
 * Replaces nodes whose results are known by initializers of the same name:
 * `s = Shape(w); n = Gather(s, 1)` -> `n = 64`. Constant nodes stay, and so do the nodes that nobody
 * reads any more (`eliminate-dead` removes those).
 */
export const foldConstants: Pass = {
  name: 'fold-constants',
  description: 'computes shape arithmetic that does not depend on the input',
  run(model) {
    const graph = fold(model.graph, inferFacts(model));
    return graph === model.graph ? model : { ...model, graph };
  },
};

function fold(graph: Graph, facts: ModelFacts): Graph {
  const own = facts.of(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const replace = new Map<Node, readonly Node[]>();
  const added: Tensor[] = [];
  for (const node of graph.nodes) {
    const tensors = foldedOutputs(node, own, outputs);
    if (tensors !== undefined) {
      replace.set(node, []);
      added.push(...tensors);
      continue;
    }
    const folded = mapSubgraphs(node, (body) => fold(body, facts));
    if (folded !== node) replace.set(node, [folded]);
  }
  return editGraph(graph, { replace, addInitializers: added });
}

function foldedOutputs(
  node: Node,
  facts: ReadonlyMap<string, Facts>,
  graphOutputs: ReadonlySet<string>,
): readonly Tensor[] | undefined {
  if (node.opType === 'Constant' || subgraphs(node).length > 0) return undefined;
  const tensors: Tensor[] = [];
  for (const name of node.outputs) {
    if (name === '') continue;
    const tensor = graphOutputs.has(name) ? undefined : constantTensor(name, facts.get(name));
    if (tensor === undefined) return undefined;
    tensors.push(tensor);
  }
  return tensors.length > 0 ? tensors : undefined;
}

function constantTensor(name: string, facts: Facts | undefined): Tensor | undefined {
  const elements = numbersOf(facts);
  if (elements === undefined || facts?.dataType === undefined) return undefined;
  const dims = (facts.shape ?? []).map(Number);
  const tensor = tensorOfElements(name, facts.dataType, dims, elements);
  return tensor !== undefined && tensor.source.byteLength <= MAX_FOLDED_BYTES ? tensor : undefined;
}
