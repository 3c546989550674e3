import { constantsOf } from '../ir/constants.ts';
import { isFloatDataType } from '../ir/data-type.ts';
import { indexUses, type UseIndex } from '../ir/index-uses.ts';
import type { Model } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';

/** Nodes that hand a constant on to whoever computes with it. */
const HANDS_ON: ReadonlySet<string> = new Set([
  'Identity',
  'Cast',
  'Transpose',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Slice',
  'DequantizeLinear',
]);

/** Operators that are named: no sentence names more. */
const NAMED = 8;

/** Returns the constants of the main graph, initializers and Constant nodes, each source once. */
export function mainConstants({ graph }: Model): ReadonlyMap<string, Tensor> {
  const keys = new Set<string>();
  return new Map(
    [...constantsOf(graph)].filter(([, { source }]) => {
      if (source.key === undefined) return true;
      const isNew = !keys.has(source.key);
      keys.add(source.key);
      return isNew;
    }),
  );
}

/**
 * Returns how many bytes of float constants that are not among `quantized` each operator computes with, most
 * first, at most 8 operators. What only the body of an If or Loop reads counts for that node.
 */
export function floatConstantBytes(
  model: Model,
  quantized: ReadonlySet<string>,
): Readonly<Record<string, number>> {
  const index = indexUses(model.graph);
  const bytes = new Map<string, number>();
  for (const [name, { source, dataType }] of mainConstants(model)) {
    const isLeft = isFloatDataType(dataType) && !quantized.has(name);
    const operator = isLeft ? readerOf(index, name) : undefined;
    if (operator === undefined) continue;
    bytes.set(operator, (bytes.get(operator) ?? 0) + source.byteLength);
  }
  const sorted = [...bytes].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return Object.fromEntries(sorted.slice(0, NAMED));
}

/** The operator that computes with a constant, the first where there are several. */
function readerOf({ uses }: UseIndex, name: string): string | undefined {
  const pending = [name];
  for (let at = pending.shift(); at !== undefined; at = pending.shift()) {
    for (const { node, inputIndex } of uses.get(at) ?? []) {
      if (inputIndex !== 0 || !HANDS_ON.has(node.opType)) return node.opType;
      pending.push(...node.outputs);
    }
  }
  return undefined;
}
