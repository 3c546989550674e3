import { tensorAttribute } from './attributes.ts';
import type { Graph } from './model.ts';
import type { Tensor } from './tensor.ts';

/**
 * Yields the constants of a graph by value name: its initializers, then what its Constant nodes hold, in node
 * order. Bodies are left out. Tied tensors come as often as they have names.
 */
export function* constantsOf({
  initializers,
  nodes,
}: Graph): Generator<readonly [name: string, tensor: Tensor]> {
  yield* initializers;
  for (const node of nodes) {
    const tensor = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
    if (tensor !== undefined) yield [node.outputs[0] ?? '', tensor];
  }
}

/** Returns the bytes of the initializers of a graph as they are stored, tied ones by each of their names. */
export function initializerBytes(
  { initializers }: Graph,
  bytesOf: (tensor: Tensor) => number = ({ source }) => source.byteLength,
): number {
  let bytes = 0;
  for (const tensor of initializers.values()) bytes += bytesOf(tensor);
  return bytes;
}
