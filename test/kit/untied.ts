import type { Model } from '../../src/ir/model.ts';

/**
 * Returns a model in which no two DequantizeLinear share constants: onnxruntime's exact mode (`x64quantprecision`) loads no
 * file in which two products share a weight.
 */
export function untied({ graph, ...rest }: Model): Model {
  const initializers = new Map(graph.initializers);
  const seen = new Set<string>();
  const copy = (name: string): string => {
    if (!seen.has(name)) {
      seen.add(name);
      return name;
    }
    initializers.set(`${name}_copy`, { ...initializers.get(name)!, name: `${name}_copy` });
    return `${name}_copy`;
  };
  const nodes = graph.nodes.map((node) => {
    const isWeight = node.opType === 'DequantizeLinear' && initializers.has(node.inputs[0]!);
    return isWeight ? { ...node, inputs: node.inputs.map(copy) } : node;
  });
  return { ...rest, graph: { ...graph, nodes, initializers } };
}
