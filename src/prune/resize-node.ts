import type { Dim, Node } from '../ir/model.ts';
import { type Operand, operandsOf, type ResizeContext, type Resized } from './axis-rule.ts';
import { type Forcing, forceElements } from './force-elements.ts';
import { type GraphContext, operandValue } from './graph-context.ts';
import { type KeptAxes, keptIndices } from './kept-axes.ts';
import { ruleOf } from './rules/index.ts';
import type { SizeFacts } from './size-facts.ts';

/**
 * Returns a node with the sizes that it reads - attributes, shape inputs - as they are after the cut, the same node
 * where nothing changes. Sizes that it states itself follow its operands; whatever else it computes with a size that
 * the cut changes, it goes on computing with the old one, as the masked original does. A string says why a size
 * cannot be made to hold what it must.
 */
export function resizeNode(
  context: GraphContext,
  kept: KeptAxes,
  forcing: Omit<Forcing, 'reader'>,
  node: Node,
): Node | string {
  const { sizes } = forcing;
  const stated = isTouched(kept, node) ? statedSizes(context, kept, sizes, node) : {};
  if (typeof stated === 'string') return stated;
  const own = new Set(ruleOf(node)?.sizes ?? []);
  const isArithmetic =
    sizes.isArithmetic(node) &&
    !node.inputs.some((value, at) => own.has(at) && sizes.changes(value));
  const inputs: string[] = [];
  for (const [index, value] of node.inputs.entries()) {
    const old = isArithmetic || !sizes.changes(value) ? undefined : sizes.before(value).elements;
    const wanted = stated.inputs?.get(index) ?? old;
    const forced =
      wanted === undefined ? value : forceElements({ ...forcing, reader: node }, value, wanted);
    if (forced === undefined) return whyNotForced(value, own.has(index), wanted);
    inputs.push(forced);
  }
  const attributes =
    stated.attributes === undefined
      ? node.attributes
      : new Map([...node.attributes, ...stated.attributes]);
  const same =
    attributes === node.attributes && inputs.every((value, index) => value === node.inputs[index]);
  return same ? node : { ...node, inputs, attributes };
}

function whyNotForced(value: string, isSize: boolean, wanted: readonly Dim[] | undefined): string {
  return isSize
    ? `${value} cannot be made to hold the sizes ${wanted?.map((dim) => dim ?? '?').join(', ')}`
    : `it computes with ${value}, a size that the cut changes`;
}

function statedSizes(
  context: GraphContext,
  kept: KeptAxes,
  sizes: SizeFacts,
  node: Node,
): Resized | string {
  return ruleOf(node)?.resize?.(node, resizeContext(context, kept, sizes, node)) ?? {};
}

function resizeContext(
  context: GraphContext,
  kept: KeptAxes,
  sizes: SizeFacts,
  node: Node,
): ResizeContext {
  const rules = context.of(node);
  const readerOf = ({ side, index }: Operand) => (side === 'input' ? { node, index } : undefined);
  return {
    ...rules,
    elements: (index) => sizes.before(node.inputs[index] ?? '').elements,
    shapeAfter(operand) {
      const before = rules.shape(operand);
      return before && kept.shape(operandValue(node, operand), before, readerOf(operand));
    },
    kept(operand, axis) {
      const pattern = kept.of(operandValue(node, operand), readerOf(operand)).get(axis);
      const size = rules.shape(operand)?.[axis];
      if (pattern === undefined) return undefined;
      return keptIndices(pattern, typeof size === 'number' ? size : pattern.length);
    },
    shrinks: (operand, axis) => kept.shrinks(operandValue(node, operand), axis, readerOf(operand)),
  };
}

/** Says whether an operand of a node loses indices. */
function isTouched(kept: KeptAxes, node: Node): boolean {
  return operandsOf(node).some(({ side, index }) => {
    const value = operandValue(node, { side, index });
    return kept.touches(value, side === 'input' ? { node, index } : undefined);
  });
}
