import { intAttribute } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import { numbersOf, positiveAxis } from '../../ops/op-spec.ts';
import { type GraphView, isOp } from '../../passes/graph-view.ts';

/** Neighbouring entries of one axis of a value. */
export interface PickedRange {
  readonly axis: number;
  readonly first: number;
  readonly count: number;
  /** A Gather by one scalar takes the axis away. */
  readonly drops: boolean;
}

/**
 * Returns which entries of its first input an output of Split, Slice or Gather is, or undefined when
 * that is not one run of neighbours along one axis, or not known before the model runs.
 */
export function pickedRange(view: GraphView, node: Node, output: string): PickedRange | undefined {
  const shape = view.facts(node.inputs[0] ?? '').shape;
  if (shape === undefined) return undefined;
  if (isOp(node, 'Split')) return splitRange(view, node, output, shape.length);
  if (isOp(node, 'Gather')) return gatherRange(view, node, shape.length);
  return isOp(node, 'Slice') ? sliceRange(view, node, output, shape) : undefined;
}

/** Says whether two ranges of the same value share no element. */
export function areDisjoint(a: PickedRange, b: PickedRange): boolean {
  return a.axis === b.axis && (a.first + a.count <= b.first || b.first + b.count <= a.first);
}

function splitRange(
  view: GraphView,
  node: Node,
  output: string,
  rank: number,
): PickedRange | undefined {
  const axis = positiveAxis(intAttribute(node, 'axis', 0), rank);
  const position = node.outputs.indexOf(output);
  const sizes = node.outputs.slice(0, position + 1).map((name) => view.facts(name).shape?.[axis]);
  if (!sizes.every((size) => typeof size === 'number')) return undefined;
  const count = sizes.at(-1)!;
  const first = sizes.reduce((sum, size) => sum + size, 0) - count;
  return { axis, first, count, drops: false };
}

function gatherRange(view: GraphView, node: Node, rank: number): PickedRange | undefined {
  const facts = view.facts(node.inputs[1] ?? '');
  const [first] = numbersOf(facts) ?? [];
  if (first === undefined || first < 0 || facts.shape?.length !== 0) return undefined;
  const axis = positiveAxis(intAttribute(node, 'axis', 0), rank);
  return { axis, first, count: 1, drops: true };
}

function sliceRange(
  view: GraphView,
  node: Node,
  output: string,
  shape: readonly unknown[],
): PickedRange | undefined {
  const [starts, , axes] = node.inputs.slice(1).map((name) => numbersOf(view.facts(name)));
  const steps = node.inputs[4] ?? '';
  if (steps !== '' && numbersOf(view.facts(steps))?.[0] !== 1) return undefined;
  if (starts?.length !== 1 || axes?.length !== 1) return undefined;
  const axis = positiveAxis(axes[0]!, shape.length);
  const [width, count] = [shape[axis], view.facts(output).shape?.[axis]];
  if (typeof width !== 'number' || typeof count !== 'number') return undefined;
  const first = starts[0]! < 0 ? starts[0]! + width : starts[0]!;
  return { axis, first, count, drops: false };
}
