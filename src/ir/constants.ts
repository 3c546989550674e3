import { tensorAttribute } from './attributes.ts';
import { DATA_TYPES, isFloatDataType, isKnownDataType } from './data-type.ts';
import type { Graph } from './model.ts';
import { elementCount, type Tensor } from './tensor.ts';

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

/** Returns the number of elements of all float and quantized constants of a graph. */
export function parameterCount(graph: Graph): number {
  let count = 0;
  for (const [, tensor] of constantsOf(graph))
    if (isWeight(tensor)) count += elementCount(tensor.dims);
  return count;
}

/** Returns the bytes of those constants as they are stored; tied ones, which a file holds once, count once. */
export function parameterBytes(graph: Graph): number {
  const known = new Set<string>();
  let bytes = 0;
  for (const [, tensor] of constantsOf(graph)) {
    const { source } = tensor;
    if (!isWeight(tensor) || (source.key !== undefined && known.has(source.key))) continue;
    if (source.key !== undefined) known.add(source.key);
    bytes += source.byteLength;
  }
  return bytes;
}

function isWeight({ dataType }: Tensor): boolean {
  return isFloatDataType(dataType) || (isKnownDataType(dataType) && DATA_TYPES[dataType].bits <= 8);
}
