import { subgraphs } from '../ir/attributes.ts';
import type { Graph, Model } from '../ir/model.ts';
import { declaredFacts, inferFacts } from './infer-facts.ts';

/**
 * Says whether a model takes, gives or computes bfloat16, which onnxruntime has next to no kernels for on a
 * CPU. Weights that are stored in it and cast before they are read do not count.
 */
export function computesInBfloat16(model: Model): boolean {
  const facts = inferFacts(model);
  const isNarrow = (graph: Graph): boolean => {
    const own = facts.of(graph);
    const ends = [...graph.inputs, ...graph.outputs].filter(
      ({ name }) => !graph.initializers.has(name),
    );
    return (
      ends.some((info) => declaredFacts(info).dataType === 'bfloat16') ||
      graph.nodes.some(
        (node) =>
          (node.opType !== 'Constant' &&
            node.outputs.some((name) => own.get(name)?.dataType === 'bfloat16')) ||
          subgraphs(node).some(isNarrow),
      )
    );
  };
  return isNarrow(model.graph);
}
