/** Typed access to node attributes, and their construction. */
import type { Attribute, Graph, Node } from './model.ts';
import type { Tensor } from './tensor.ts';

const utf8 = new TextDecoder();
const utf8Encoder = new TextEncoder();

/** Returns an `int` attribute as a number, or `fallback` when absent or of another type. */
export function intAttribute(node: Node, name: string): number | undefined;
export function intAttribute(node: Node, name: string, fallback: number): number;
export function intAttribute(node: Node, name: string, fallback?: number): number | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'int' ? Number(attribute.value) : fallback;
}

/** Returns an `ints` attribute as numbers. Values past 2^53 lose precision; none of ours do. */
export function intsAttribute(node: Node, name: string): readonly number[] | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'ints' ? attribute.value.map(Number) : undefined;
}

/** Returns a `float` attribute, or `fallback` when absent or of another type. */
export function floatAttribute(node: Node, name: string): number | undefined;
export function floatAttribute(node: Node, name: string, fallback: number): number;
export function floatAttribute(node: Node, name: string, fallback?: number): number | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'float' ? attribute.value : fallback;
}

/** Returns a `string` attribute decoded as UTF-8. */
export function stringAttribute(node: Node, name: string): string | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'string' ? utf8.decode(attribute.value) : undefined;
}

/** Returns a `tensor` attribute. */
export function tensorAttribute(node: Node, name: string): Tensor | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'tensor' ? attribute.value : undefined;
}

/** Returns the graphs held by attributes of a node (bodies of If, Loop, Scan), in attribute order. */
export function subgraphs(node: Node): readonly Graph[] {
  const found: Graph[] = [];
  for (const attribute of node.attributes.values()) {
    if (attribute.kind === 'graph') found.push(attribute.value);
    else if (attribute.kind === 'graphs') for (const graph of attribute.value) found.push(graph);
  }
  return found;
}

/** Plain values that {@link attributes} turns into ONNX attributes: bigint = int, number = float. */
export type AttributeLiteral =
  | bigint
  | number
  | string
  | readonly bigint[]
  | readonly number[]
  | Tensor
  | Graph;

/** Returns attributes from literals: `{ axis: 0n, epsilon: 1e-5, to: 1n, perm: [1n, 0n] }`. */
export function attributes(
  literals: Readonly<Record<string, AttributeLiteral>>,
): ReadonlyMap<string, Attribute> {
  return new Map(Object.entries(literals).map(([name, value]) => [name, attribute(name, value)]));
}

function attribute(name: string, value: AttributeLiteral): Attribute {
  if (typeof value === 'bigint') return { name, kind: 'int', value };
  if (typeof value === 'number') return { name, kind: 'float', value };
  if (typeof value === 'string') return { name, kind: 'string', value: utf8Encoder.encode(value) };
  if (isList(value)) {
    return value.every((entry) => typeof entry === 'bigint')
      ? { name, kind: 'ints', value }
      : { name, kind: 'floats', value: value.map(Number) };
  }
  return 'nodes' in value ? { name, kind: 'graph', value } : { name, kind: 'tensor', value };
}

function isList(value: AttributeLiteral): value is readonly bigint[] | readonly number[] {
  return Array.isArray(value);
}
