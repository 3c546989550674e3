import type { Node } from '../ir/model.ts';
import { type Operand, operandsOf, type ResizeContext } from './axis-rule.ts';
import { type Forcing, forceElements } from './force-elements.ts';
import { type GraphContext, operandValue } from './graph-context.ts';
import { type KeptAxes, keptIndices } from './kept-axes.ts';
import { ruleOf } from './rules/index.ts';

/**
 * Returns a node with the sizes that it states itself - attributes, shape inputs - as they are after the cut, the
 * same node where it states none. A string says why they cannot be restated.
 */
export function resizeNode(
  context: GraphContext,
  kept: KeptAxes,
  forcing: Omit<Forcing, 'reader'>,
  node: Node,
): Node | string {
  const rule = ruleOf(node);
  if (rule?.resize === undefined) return node;
  const resized = rule.resize(node, resizeContext(context, kept, node));
  if (resized === undefined || typeof resized === 'string') return resized ?? node;
  const inputs = node.inputs.map((value, index) => {
    const wanted = resized.inputs?.get(index);
    return wanted === undefined
      ? value
      : forceElements({ ...forcing, reader: node }, value, wanted);
  });
  const attributes =
    resized.attributes === undefined
      ? node.attributes
      : new Map([...node.attributes, ...resized.attributes]);
  const same =
    attributes === node.attributes && inputs.every((value, index) => value === node.inputs[index]);
  return same ? node : { ...node, inputs, attributes };
}

function resizeContext(context: GraphContext, kept: KeptAxes, node: Node): ResizeContext {
  const rules = context.of(node);
  const readerOf = ({ side, index }: Operand) => (side === 'input' ? { node, index } : undefined);
  return {
    ...rules,
    elements: (index) => context.view.facts(node.inputs[index] ?? '').elements,
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
  };
}

/** Says whether an operand of a node loses indices. */
export function isTouched(kept: KeptAxes, values: ReadonlySet<string>, node: Node): boolean {
  return operandsOf(node).some((operand) => {
    const value = operandValue(node, operand);
    return values.has(value) || kept.of(value, { node, index: operand.index }).size > 0;
  });
}
