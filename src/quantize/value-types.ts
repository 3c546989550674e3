import type { Graph, TensorType } from '../ir/model.ts';

/** Returns the tensor type of a value of the main graph where the graph declares one. */
export function declaredType(graph: Graph, value: string): TensorType | undefined {
  const info =
    graph.valueInfo.get(value) ??
    graph.inputs.find((input) => input.name === value) ??
    graph.outputs.find((output) => output.name === value);
  return info?.type?.kind === 'tensor' ? info.type : undefined;
}

/** Returns the rank of a value, or undefined when the graph does not say. */
export function declaredRank(graph: Graph, value: string): number | undefined {
  return declaredType(graph, value)?.shape?.length;
}
