import { stringAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import { elementCount } from '../ir/tensor.ts';
import { findLaidConstant, type LaidConstant } from './constant-layout.ts';
import { type EinsumProduct, einsumProduct } from './einsum-product.ts';
import type { GraphView } from './graph-view.ts';

/** Smaller constants are no weights. */
const MIN_ELEMENTS = 256;

/** An Einsum of an activation and a weight. */
export interface EinsumOperands {
  readonly activation: string;
  readonly constant: LaidConstant;
  /** True when the constant comes first in the equation. */
  readonly isSwapped: boolean;
}

/** Returns the operands of an Einsum of two, one of which is a constant of some size; undefined for others. */
export function einsumOperands(view: GraphView, node: Node): EinsumOperands | undefined {
  const [a = '', b = '', ...others] = node.inputs;
  const [fromA, fromB] = [findLaidConstant(view, a), findLaidConstant(view, b)];
  const constant = fromA ?? fromB;
  if (constant === undefined || others.length > 0) return undefined;
  if (fromA !== undefined && fromB !== undefined) return undefined;
  if (elementCount(constant.tensor.dims) < MIN_ELEMENTS) return undefined;
  return { activation: fromA === undefined ? a : b, constant, isSwapped: fromA !== undefined };
}

/** Returns how an Einsum multiplies its operands, or why it is no product with a matrix. */
export function describeEinsum(
  view: GraphView,
  node: Node,
  { activation, constant, isSwapped }: EinsumOperands,
): EinsumProduct | string {
  const equation = stringAttribute(node, 'equation') ?? '';
  const rank = view.facts(activation).shape?.length ?? lettersOf(equation, isSwapped);
  if (rank === undefined) return `the shape of ${activation} is not known`;
  return einsumProduct(equation, { activation: rank, constant: constant.dims.length }, isSwapped);
}

/** As many axes as the activation has by the equation; undefined where an ellipsis hides them. */
function lettersOf(equation: string, isSwapped: boolean): number | undefined {
  const operands = equation.replaceAll(/\s/g, '').split('->')[0]?.split(',');
  const term = operands?.[isSwapped ? 1 : 0] ?? '';
  return term.includes('.') ? undefined : term.length;
}
