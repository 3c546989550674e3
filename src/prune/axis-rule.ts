import type { Attribute, Dim, Node } from '../ir/model.ts';

/** Stands in {@link AxisUnits} where no unit lies: these indices stay whatever is removed. */
export const NO_UNIT = -1;

/**
 * The unit (a head, a hidden channel) to which each index along an axis belongs. Shorter than the axis where
 * the pattern repeats: an axis of `batch * heads` has the units of one sample.
 */
export type AxisUnits = Int32Array;

/** An input or output of a node by its position. */
export interface Operand {
  readonly side: 'input' | 'output';
  readonly index: number;
}

/** One axis of an operand with the units along it. */
export interface LabelledAxis extends Operand {
  readonly axis: number;
  readonly units: AxisUnits;
}

/** What a node makes of units along one axis of one of its operands. */
export interface Spread {
  /** The axes of all operands that carry the same units, the axis it was asked about included or not. */
  readonly axes: readonly LabelledAxis[];
  /** Set where the node sums over the axis with a constant weight: removing a unit removes its term. */
  readonly consumes?: {
    readonly data: number;
    readonly dataAxis: number;
    readonly weight: number;
    readonly weightAxis: number;
  };
  /** Units go in equal numbers from each of so many equal stretches: query heads that share a KV head. */
  readonly equalBlocks?: number;
  /** An axis of copies, one for each unit of a stretch: it shrinks with them and holds none itself. */
  readonly copies?: readonly (Operand & { readonly axis: number })[];
  /** What the units are, where this node tells. */
  readonly kind?: 'heads' | 'channels';
}

/** What a rule may ask about the graph around a node. */
export interface RuleContext {
  /** The shape of an operand; undefined where its rank is unknown or it is left out. */
  shape(operand: Operand): readonly Dim[] | undefined;
  /** The elements of an input, where all are known numbers. */
  numbers(index: number): readonly number[] | undefined;
  /** Says whether an input is the same in every run. */
  isConstant(index: number): boolean;
  /** Says whether an input is one of the model, as its caller gives it. */
  isGiven(index: number): boolean;
  /** Says whether an input repeats along an axis what its producer read once. */
  repeatsAlong(index: number, axis: number): boolean;
  readonly opset: number;
}

/** What a rule may ask when sizes change. */
export interface ResizeContext extends RuleContext {
  /** The shape of an operand after the cut. */
  shapeAfter(operand: Operand): readonly Dim[] | undefined;
  /** The indices that stay along an axis, undefined where all do. */
  kept(operand: Operand, axis: number): readonly number[] | undefined;
  /** Says whether an axis loses indices, or copies of what does. */
  shrinks(operand: Operand, axis: number): boolean;
  /** The elements of an input that holds sizes: numbers, symbols, names for what only a run tells. */
  elements(index: number): readonly Dim[] | undefined;
}

/** What of a node carries sizes, after the cut. */
export interface Resized {
  /** Elements that inputs with sizes must hold after the cut, the same as before or not, by input position. */
  readonly inputs?: ReadonlyMap<number, readonly Dim[]>;
  readonly attributes?: ReadonlyMap<string, Attribute>;
}

/**
 * How operators of one kind carry units from axis to axis, after the propagation of dependency graphs
 * (DepGraph, Fang et al. 2023), stated for ONNX.
 */
export interface AxisRule {
  readonly opTypes: readonly string[];
  /** Operator set domains; '' alone when absent. */
  readonly domains?: readonly string[];
  /** Positions of inputs that say how large the output is or where it is cut: {@link AxisRule.resize} states them. */
  readonly sizes?: readonly number[];
  /** Returns where the units of one axis lie in the other operands, or why units may not be removed there. */
  follow(node: Node, at: LabelledAxis, context: RuleContext): Spread | string;
  /**
   * Returns the sizes that the node states itself as they must be after the cut, undefined where it states none; a
   * string says why they cannot be stated. Asked of nodes of which some operand loses indices.
   */
  resize?(node: Node, context: ResizeContext): Resized | string | undefined;
}

/** Returns the operand at an input position. */
export function inputAt(index: number): Operand {
  return { side: 'input', index };
}

/** Returns the operand at an output position. */
export function outputAt(index: number): Operand {
  return { side: 'output', index };
}

/** Returns all operands of a node that are there. */
export function operandsOf(node: Node): readonly Operand[] {
  const present = (names: readonly string[], side: Operand['side']): Operand[] =>
    names.flatMap((name, index) => (name === '' ? [] : [{ side, index }]));
  return [...present(node.inputs, 'input'), ...present(node.outputs, 'output')];
}

/** Says whether two operands are one. */
export function isSame(a: Operand, b: Operand): boolean {
  return a.side === b.side && a.index === b.index;
}

/** Returns units for each of `size` indices, repeating the pattern. */
export function unitsOver(units: AxisUnits, size: number): AxisUnits {
  return units.length === size
    ? units
    : Int32Array.from({ length: size }, (_, index) => units[index % units.length]!);
}

/** Returns the smallest number that both divide. */
export function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
