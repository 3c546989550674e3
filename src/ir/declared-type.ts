import type { Graph, TensorType, ValueInfo } from './model.ts';

/** Returns the tensor type of a value of the main graph where the graph declares one. */
export function declaredType(graph: Graph, value: string): TensorType | undefined {
  const info =
    graph.valueInfo.get(value) ??
    graph.inputs.find((input) => input.name === value) ??
    graph.outputs.find((output) => output.name === value);
  return info?.type?.kind === 'tensor' ? info.type : undefined;
}

/**
 * Returns the types that a graph declares, with the shapes that inference contradicts replaced by its
 * own: `inferred` holds the same values after shape inference.
 */
export function correctedTypes(
  declared: ReadonlyMap<string, ValueInfo>,
  inferred: ReadonlyMap<string, ValueInfo>,
): ReadonlyMap<string, ValueInfo> {
  const wrong = [...declared].flatMap(([name, info]): [string, ValueInfo][] => {
    const known = inferred.get(name);
    return known !== undefined && contradicts(info, known) ? [[name, known]] : [];
  });
  return wrong.length === 0 ? declared : new Map([...declared, ...wrong]);
}

function contradicts({ type: a }: ValueInfo, { type: b }: ValueInfo): boolean {
  if (a?.kind !== 'tensor' || b?.kind !== 'tensor') return false;
  const { shape } = a;
  if (shape === undefined || b.shape === undefined) return false;
  if (shape.length !== b.shape.length) return true;
  return b.shape.some((dim, axis) => {
    const other = shape[axis];
    return typeof dim === 'number' && typeof other === 'number' && dim !== other;
  });
}
