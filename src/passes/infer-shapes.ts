import type { Graph, Node, TensorType, ValueInfo } from '../ir/model.ts';
import type { Facts } from '../ops/op-spec.ts';
import { inferFacts, type ModelFacts, mergeShapes } from './infer-facts.ts';
import { mapSubgraphs } from './map-subgraphs.ts';
import type { Pass } from './pass.ts';

/**
 * Fills `valueInfo` of every graph, bodies included, with inferred types and shapes:
 * `Add(x, w)` -> `Add(x, w): float16[batch, 64]`. Graph inputs and outputs stay as declared; a
 * declared shape is made more precise, and corrected where it contradicts what the inputs give.
 */
export const inferShapes: Pass = {
  name: 'infer-shapes',
  description: 'writes the types and shapes of intermediate values into the graph',
  run(model) {
    const graph = annotate(model.graph, inferFacts(model));
    return graph === model.graph ? model : { ...model, graph };
  },
};

function annotate(graph: Graph, facts: ModelFacts): Graph {
  const own = facts.of(graph);
  const interfaceNames = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
  const valueInfo = new Map(graph.valueInfo);
  let changed = false;
  const nodes = graph.nodes.map((node) => {
    for (const output of node.outputs) {
      if (output === '' || interfaceNames.has(output)) continue;
      const known = valueInfo.get(output);
      const info = refine(output, known, own.get(output));
      if (info === known || info === undefined) continue;
      valueInfo.set(output, info);
      changed = true;
    }
    return annotateBodies(node, facts);
  });
  const sameNodes = nodes.every((node, index) => node === graph.nodes[index]);
  if (!changed && sameNodes) return graph;
  return {
    ...graph,
    nodes: sameNodes ? graph.nodes : nodes,
    valueInfo: changed ? valueInfo : graph.valueInfo,
  };
}

function annotateBodies(node: Node, facts: ModelFacts): Node {
  return mapSubgraphs(node, (inner) => annotate(inner, facts));
}

/** Returns the declared info itself when inference adds nothing. */
function refine(
  name: string,
  known: ValueInfo | undefined,
  facts: Facts | undefined,
): ValueInfo | undefined {
  if (facts?.dataType === undefined) return known;
  if (known?.type === undefined) {
    const type: TensorType = {
      kind: 'tensor',
      dataType: facts.dataType,
      ...(facts.shape !== undefined && { shape: facts.shape }),
    };
    return { ...known, name, type };
  }
  if (known.type.kind !== 'tensor') return known;
  const shape = mergeShapes(facts.shape, known.type.shape, 'declared');
  if (shape === undefined || sameShape(shape, known.type.shape)) return known;
  return { ...known, type: { ...known.type, shape } };
}

function sameShape(a: TensorType['shape'], b: TensorType['shape']): boolean {
  return a?.length === b?.length && (a?.every((dim, axis) => dim === b?.[axis]) ?? true);
}
