/** What all attention operators have in common: heads side by side along axes of their operands. */
import { intAttribute } from '../../ir/attributes.ts';
import type { Attribute, Node } from '../../ir/model.ts';
import {
  type AxisUnits,
  inputAt,
  isSame,
  type LabelledAxis,
  NO_UNIT,
  type Operand,
  operandsOf,
  type RuleContext,
  type Spread,
  unitsOver,
} from '../axis-rule.ts';

/** Where the heads of an operand lie. */
export interface HeadAxis extends Operand {
  readonly axis: number;
  /** Elements of a head along the axis: 1 for an axis of heads. */
  readonly width: number;
  /** Index of the first head. */
  readonly first: number;
}

/** How an attention operator holds its heads. */
export interface HeadPlaces {
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Of each operand, where query heads lie. */
  readonly query: readonly HeadAxis[];
  /** Of each operand, where key or value heads lie. */
  readonly keyValue: readonly HeadAxis[];
}

/** Units of heads out of those along an axis: a head is the unit of its first element. */
function headUnits(along: AxisUnits, place: HeadAxis, heads: number): AxisUnits {
  return Int32Array.from({ length: heads }, (_, head) => {
    const start = place.first + head * place.width;
    const own = along.subarray(start, start + place.width);
    return own.find((unit) => unit !== NO_UNIT) ?? NO_UNIT;
  });
}

function holdsUnits(units: AxisUnits): boolean {
  return units.some((unit) => unit !== NO_UNIT);
}

function spreadHeads(
  units: AxisUnits,
  places: readonly HeadAxis[],
  context: RuleContext,
): readonly LabelledAxis[] | undefined {
  const axes: LabelledAxis[] = [];
  for (const { side, index, axis, width, first } of places) {
    const size = context.shape({ side, index })?.[axis];
    if (typeof size !== 'number' || !(width > 0) || first + units.length * width > size)
      return undefined;
    const along = new Int32Array(size).fill(NO_UNIT);
    units.forEach((unit, head) => {
      along.fill(unit, first + head * width, first + (head + 1) * width);
    });
    axes.push({ side, index, axis, units: along });
  }
  return axes;
}

/** Returns where heads go: query heads alone where several share a key head, with it where each has its own. */
export function followHeads(
  at: LabelledAxis,
  places: HeadPlaces | string,
  context: RuleContext,
): Spread | string {
  if (typeof places === 'string') return places;
  const { heads, groups, query, keyValue } = places;
  const isAt = (place: HeadAxis): boolean => isSame(place, at) && place.axis === at.axis;
  const size = context.shape(at)?.[at.axis];
  const here = [...query, ...keyValue].filter(isAt);
  if (here.length === 0 || typeof size !== 'number') return 'the channels lie inside a head';
  const along = unitsOver(at.units, size);
  const covered =
    query.filter(isAt).reduce((sum, { width }) => sum + heads * width, 0) +
    keyValue.filter(isAt).reduce((sum, { width }) => sum + groups * width, 0);
  if (covered !== size) return 'the number of heads does not fit its operands';
  // An operand that packs query, key and value has units in those parts that lose some.
  const sharesKeys = heads !== groups;
  const onKeys = keyValue.filter(isAt).map((place) => headUnits(along, place, groups));
  if (sharesKeys && onKeys.some(holdsUnits)) return 'key and value heads serve several query heads';
  const onQueries = query.filter(isAt).map((place) => headUnits(along, place, heads));
  const reached = sharesKeys ? query : [...query, ...keyValue];
  const axes: LabelledAxis[] = [];
  for (const units of [...onQueries, ...(sharesKeys ? [] : onKeys)].filter(holdsUnits)) {
    const spread = spreadHeads(units, reached, context);
    if (spread === undefined) return 'the number of heads is unknown';
    axes.push(...spread);
  }
  return { axes, kind: 'heads', ...(sharesKeys && { equalBlocks: groups }) };
}

/** Returns a place of heads along an axis. */
export function headAxis(operand: Operand, axis: number, width = 1, first = 0): HeadAxis {
  return { ...operand, axis, width, first };
}

/** Returns places for those operands that are there. */
export function present(node: Node, places: readonly HeadAxis[]): readonly HeadAxis[] {
  const operands = operandsOf(node);
  return places.filter((place) => operands.some((operand) => isSame(operand, place)));
}

/** Returns the head axis of an additive bias, none where it is 1 there, or why it cannot be told. */
export function biasPlaces(
  node: Node,
  context: RuleContext,
  index: number,
  heads: number,
): readonly HeadAxis[] | string {
  if ((node.inputs[index] ?? '') === '') return [];
  const shape = context.shape(inputAt(index));
  if (shape === undefined) return 'the shape of its additive bias is unknown';
  const axis = shape.length - 3;
  if (axis < 0 || shape[axis] === 1) return [];
  if (shape[axis] === heads) return [headAxis(inputAt(index), axis)];
  return `its additive bias has ${shape[axis] ?? 'an unknown number of'} heads (expected 1 or ${heads})`;
}

/** Returns the width of a head of a flat operand `[B, S, heads * width]`. */
export function widthOf(context: RuleContext, operand: Operand, heads: number): number | undefined {
  const shape = context.shape(operand);
  const size = shape?.length === 3 ? shape[2] : undefined;
  return typeof size === 'number' && heads > 0 && size % heads === 0 ? size / heads : undefined;
}

/** Returns why an input stands in the way that is there and that the rule does not know, by its position. */
export function unknownInput(node: Node, known: number): string | undefined {
  const index = node.inputs.findIndex((value, at) => at >= known && value !== '');
  return index < 0 ? undefined : `its input ${index} may hold numbers of heads`;
}

/** Returns those of the attributes that the node has, with new counts. */
export function headCounts(
  node: Node,
  counts: Readonly<Record<string, number>>,
): { attributes: Map<string, Attribute> } {
  const attributes = new Map<string, Attribute>();
  for (const [name, count] of Object.entries(counts)) {
    if (intAttribute(node, name) !== undefined)
      attributes.set(name, { name, kind: 'int', value: BigInt(count) });
  }
  return { attributes };
}
