import type { Dim, Graph, TensorType } from '../ir/model.ts';

/** Returns the tensor type of a value of the main graph where the graph declares one. */
export function declaredType(graph: Graph, value: string): TensorType | undefined {
  const info =
    graph.valueInfo.get(value) ??
    graph.inputs.find((input) => input.name === value) ??
    graph.outputs.find((output) => output.name === value);
  return info?.type?.kind === 'tensor' ? info.type : undefined;
}

/** Returns the shape of a value or constant, or undefined when the graph does not say. */
export function declaredShape(graph: Graph, value: string): readonly Dim[] | undefined {
  return graph.initializers.get(value)?.dims ?? declaredType(graph, value)?.shape;
}
