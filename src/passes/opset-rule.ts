import { attributes } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import { inlineTensor, type Tensor } from '../ir/tensor.ts';

/** What a rule may ask about the graph around a node. */
export interface RaiseSite {
  /** The opset that the graph is raised to. */
  readonly to: number;
  /** Makes a name that nothing in the model has. */
  readonly makeName: (wanted: string) => string;
  /** The rank of a value, where it is known. */
  readonly rankOf: (value: string) => number | undefined;
  /** Says whether a node, a body or the interface reads the value. */
  readonly isRead: (value: string) => boolean;
}

/** What stands in place of a node, and the new constants that it reads. */
export interface Adapted {
  readonly nodes: readonly Node[];
  readonly constants: readonly Tensor[];
}

/** How operators that changed with an opset are written in it. */
export interface OpsetRule {
  /** The first opset with the new form. */
  readonly opset: number;
  readonly opTypes: readonly string[];
  /** Attributes whose values decide. */
  readonly reads: readonly string[];
  /** Throws UnsupportedError naming the node when the old form has no equal. */
  adapt(node: Node, site: RaiseSite): Adapted;
}

/** Returns the nodes with no new constant. */
export function adapted(...nodes: readonly Node[]): Adapted {
  return { nodes, constants: [] };
}

/** Returns the node's name, or its operator and output where it has none. */
export function labelOf(node: Node): string {
  return node.name === '' ? `${node.opType} of "${node.outputs[0] ?? ''}"` : node.name;
}

/** Returns the node with attributes that it does not have yet. */
export function withDefaults(node: Node, literals: Parameters<typeof attributes>[0]): Node {
  return { ...node, attributes: new Map([...attributes(literals), ...node.attributes]) };
}

/** Returns the node without an attribute. */
export function withoutAttribute(node: Node, name: string): Node {
  const remaining = new Map(node.attributes);
  remaining.delete(name);
  return { ...node, attributes: remaining };
}

/** Returns the node with a list attribute as its second input, an int64 vector. */
export function withListInput(
  node: Node,
  attribute: string,
  values: readonly number[],
  { makeName }: RaiseSite,
): Adapted {
  const name = makeName(`${node.outputs[0]}_${attribute}`);
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return {
    nodes: [{ ...withoutAttribute(node, attribute), inputs: [node.inputs[0] ?? '', name] }],
    constants: [inlineTensor(name, 'int64', [values.length], bytes)],
  };
}
