import { intAttribute } from '../../ir/attributes.ts';
import type { UseIndex } from '../../ir/index-uses.ts';
import type { Graph, Node } from '../../ir/model.ts';
import { elementCount, type Tensor } from '../../ir/tensor.ts';

/** What the rules look things up in. */
export interface LintContext {
  readonly graph: Graph;
  readonly index: UseIndex;
  readonly opset: number;
  /** The constant behind a value name, initializer or Constant node. */
  readonly constant: (value: string) => Tensor | undefined;
}

/** Says whether a scale is one number for the whole tensor. */
export function isPerTensor(scale: Tensor): boolean {
  return elementCount(scale.dims) === 1;
}

/** Returns the `axis` of a Q or DQ node as a non-negative number for a tensor of `rank`. */
export function channelAxis(node: Node, rank: number): number {
  const axis = intAttribute(node, 'axis', 1);
  return axis < 0 ? axis + rank : axis;
}
