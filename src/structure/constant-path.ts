import { tensorAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { type GraphView, isOp } from '../passes/graph-view.ts';

/** A constant as an op reads it, perhaps through Identity, Cast, Transpose or DequantizeLinear. */
export interface ConstantPath {
  readonly tensor: Tensor;
  /** Initializer name, or the output of the Constant node that holds the tensor. */
  readonly initializer: string;
  /** The value that the op reads. */
  readonly value: string;
  /** The nodes between, initializer first. */
  readonly path: readonly Node[];
  /** How many nodes read the initializer. */
  readonly useCount: number;
}

/** Returns the constant behind a value, or undefined when it is computed from an input. */
export function findConstant(view: GraphView, value: string): ConstantPath | undefined {
  const path: Node[] = [];
  let at = value;
  for (;;) {
    const initializer = view.graph.initializers.get(at);
    const node = view.producer(at);
    const tensor =
      initializer ?? (isOp(node, 'Constant') ? tensorAttribute(node, 'value') : undefined);
    if (tensor !== undefined) {
      return { tensor, initializer: at, value, path, useCount: readingNodes(view, at) };
    }
    if (!isOp(node, 'Identity', 'Cast', 'Transpose', 'DequantizeLinear')) return undefined;
    path.unshift(node);
    at = node.inputs[0] ?? '';
  }
}

/** A node that reads a value twice counts once. */
function readingNodes(view: GraphView, value: string): number {
  return new Set(view.uses(value).map(({ node }) => node)).size;
}

/** Returns the one operand of a node that is a constant with more than one element, and the other. */
export function splitConstant(
  view: GraphView,
  node: Node,
): { readonly constant: ConstantPath; readonly operand: string } | undefined {
  const [a = '', b = ''] = node.inputs;
  const [fromA, fromB] = [findConstant(view, a), findConstant(view, b)];
  if (fromB !== undefined && fromA === undefined) return { constant: fromB, operand: a };
  return fromA !== undefined && fromB === undefined ? { constant: fromA, operand: b } : undefined;
}
