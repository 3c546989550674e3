import { intAttribute } from '../../ir/attributes.ts';
import type { Dim } from '../../ir/model.ts';
import { divideDims, multiplyDims, productOfDims } from '../../ops/dim.ts';
import {
  type AxisRule,
  type AxisUnits,
  inputAt,
  type LabelledAxis,
  leastCommonMultiple,
  NO_UNIT,
  outputAt,
  type ResizeContext,
  type RuleContext,
  type Spread,
} from '../axis-rule.ts';
import { outputSizes, statement } from './sizes.ts';

/** Neighbouring axes of both shapes with the same product: elements move only inside them. */
interface Segment {
  readonly from: readonly [first: number, end: number];
  readonly to: readonly [first: number, end: number];
}

/** Longer patterns than this are no heads and channels. */
const MAX_PATTERN = 2 ** 24;

/** Returns the smallest segments from the right, then equal axes from the left; the rest cannot be told apart. */
function segments(from: readonly Dim[], to: readonly Dim[]): readonly Segment[] {
  const found: Segment[] = [];
  let [endFrom, endTo] = [from.length, to.length];
  while (endFrom > 0 && endTo > 0) {
    const segment = lastSegment(from.slice(0, endFrom), to.slice(0, endTo));
    if (segment === undefined) break;
    found.push(segment);
    endFrom = segment.from[0];
    endTo = segment.to[0];
  }
  const open = Math.min(endFrom, endTo);
  let start = 0;
  for (; start < open && from[start] !== undefined && from[start] === to[start]; start++) {
    found.push({ from: [start, start + 1], to: [start, start + 1] });
  }
  const isTold = productOfDims(from.slice(start, endFrom)) !== undefined;
  if (isTold) found.push({ from: [start, endFrom], to: [start, endTo] });
  return found;
}

/** Returns the shortest tails with equal products, undefined where sizes are not known well enough. */
function lastSegment(from: readonly Dim[], to: readonly Dim[]): Segment | undefined {
  let [a, b] = [from.length - 1, to.length - 1];
  let [left, right] = [from[a], to[b]];
  while (left !== right) {
    if (left === undefined || right === undefined) return undefined;
    const growTo = b > 0 && (right === 1 || (left !== 1 && divideDims(left, right) !== undefined));
    const growFrom = a > 0 && (left === 1 || divideDims(right, left) !== undefined);
    if (growTo) right = multiplyDims(right, to[--b]);
    else if (growFrom) left = multiplyDims(left, from[--a]);
    else return undefined;
  }
  return left === undefined ? undefined : { from: [a, from.length], to: [b, to.length] };
}

/** Units of the elements of a segment in row-major order, repeating. */
interface Pattern {
  readonly units: AxisUnits;
  /** Elements that one unit of the pattern spans. */
  readonly inner: number;
}

/** Units along the axis with `inner` elements behind it, or undefined when two units would share an index. */
function unitsAlong(
  pattern: Pattern,
  size: Dim,
  inner: number,
  merge: boolean,
): AxisUnits | undefined {
  const period = pattern.units.length * pattern.inner;
  const span = typeof size === 'number' ? size * inner : period;
  const whole = leastCommonMultiple(period, span);
  if (whole > MAX_PATTERN || span % inner !== 0) return undefined;
  const units = new Int32Array(span / inner).fill(NO_UNIT);
  for (let index = 0; index < whole; index++) {
    const unit = pattern.units[Math.floor(index / pattern.inner) % pattern.units.length]!;
    const place = Math.floor(index / inner) % units.length;
    if (units[place] === NO_UNIT) units[place] = unit;
    else if (unit !== NO_UNIT && units[place] !== unit && !merge) return undefined;
  }
  return units;
}

function followReshape(at: LabelledAxis, context: RuleContext): Spread | string {
  if (at.side === 'input' && at.index > 0) return 'the channels are a shape';
  const forward = at.side === 'input';
  const [here, there] = forward ? [inputAt(0), outputAt(0)] : [outputAt(0), inputAt(0)];
  const [from, to] = [context.shape(here), context.shape(there)];
  if (from === undefined || to === undefined) return 'a shape is unknown';
  // Files may claim sizes that no tensor has.
  if ([...from, ...to].some((dim) => typeof dim === 'number' && dim < 1))
    return 'one of its axes is empty';
  const segment = segments(from, to).find(
    ({ from: [first, end] }) => at.axis >= first && at.axis < end,
  );
  if (segment === undefined) return 'which axis the channels go to cannot be told';
  const behind = productOfDims(from.slice(at.axis + 1, segment.from[1]));
  if (typeof behind !== 'number') return 'which axis the channels go to cannot be told';
  const pattern: Pattern = { units: at.units, inner: behind };
  const copies = forward ? undefined : copiesOf(at, context, to, segment);
  if (copies !== undefined) return copies;
  for (const merge of [false, true]) {
    const found = bestAxis(pattern, to, segment, merge);
    if (found !== undefined) return { axes: [{ ...there, ...found }] };
  }
  return 'which axis the channels go to cannot be told';
}

/** Without merging any axis that keeps units apart; with it the outermost: heads, never a part of each. */
function bestAxis(
  pattern: Pattern,
  to: readonly Dim[],
  { to: [first, end] }: Segment,
  merge: boolean,
): { readonly axis: number; readonly units: AxisUnits } | undefined {
  for (let axis = first; axis < end; axis++) {
    const size = to[axis];
    const inner = productOfDims(to.slice(axis + 1, end));
    if (size === 1 || typeof inner !== 'number') continue;
    if (merge && typeof size !== 'number') continue;
    const units = unitsAlong(pattern, size, inner, merge);
    if (units !== undefined && (merge || isTold(units))) return { axis, units };
  }
  return undefined;
}

/** A pattern of one unit alone fits every axis and says nothing. */
function isTold(units: AxisUnits): boolean {
  return units.some((unit) => unit !== NO_UNIT);
}

/** `[.., heads of a group, copies, ..]` flattened to query heads: each group loses as many copies as query heads. */
function copiesOf(
  at: LabelledAxis,
  context: RuleContext,
  shape: readonly Dim[],
  { from: [first, end], to }: Segment,
): Spread | undefined {
  if (end - first !== 1 || to[1] - to[0] !== 2) return undefined;
  const [groups, copies] = [shape[to[0]], shape[to[1] - 1]];
  if (typeof groups !== 'number' || typeof copies !== 'number' || copies < 2) return undefined;
  if (at.units.length !== groups * copies || !context.repeatsAlong(0, to[1] - 1)) return undefined;
  return {
    axes: [],
    equalBlocks: groups,
    copies: [{ ...inputAt(0), axis: to[1] - 1 }],
  };
}

/** Reshape: units follow row-major order through the smallest runs of axes with equal products. */
const reshape: AxisRule = {
  opTypes: ['Reshape'],
  sizes: [1],
  follow: (_node, at, context) => followReshape(at, context),
  resize(node, context) {
    const isZeroSize = intAttribute(node, 'allowzero', 0) === 1;
    const [from, to] = [context.shapeAfter(inputAt(0)), context.shapeAfter(outputAt(0))];
    // -1 takes what is left; 0 copies the size of the data, where that is the one that is due.
    const stays = (entry: Dim, axis: number): boolean =>
      entry === -1 ||
      (entry === 0 && !isZeroSize && from?.[axis] !== undefined && from[axis] === to?.[axis]);
    const sizes = outputSizes(context, copied(context, isZeroSize), stays);
    return statement(1, isZeroSize || typeof sizes === 'string' ? sizes : sayEmpty(context, sizes));
  },
};

/** Entries of 0 copy a size: where that shrinks and the output's does not, the old size takes their place. */
function copied(context: ResizeContext, isZeroSize: boolean): readonly Dim[] | undefined {
  return context.elements(1)?.map((entry, axis) => {
    const isStale =
      context.shrinks(inputAt(0), axis) && !context.shrinks(outputAt(0), axis) && !isZeroSize;
    return entry === 0 && isStale ? context.shape(inputAt(0))?.[axis] : entry;
  });
}

/** An axis that loses all it has - one part of a Concat - cannot be called 0, which copies; -1 is what is left. */
function sayEmpty(context: ResizeContext, sizes: readonly Dim[]): readonly Dim[] | string {
  const empty = sizes.findIndex((size, axis) => size === 0 && context.shrinks(outputAt(0), axis));
  if (empty < 0 || context.shapeAfter(outputAt(0))?.[empty] !== 0) return sizes;
  return sizes.includes(-1) ? `nothing is left of axis ${empty}` : sizes.with(empty, -1);
}

/** Flatten has no sizes of its own. */
const flatten: AxisRule = {
  opTypes: ['Flatten'],
  follow: (_node, at, context) => followReshape(at, context),
};

/** Operators that keep the order of elements and give them other axes. */
export const RESHAPE: readonly AxisRule[] = [reshape, flatten];
