import { intAttribute, intsAttribute } from '../../ir/attributes.ts';
import type { Dim, Node } from '../../ir/model.ts';
import { positiveAxis } from '../../ops/op-spec.ts';
import {
  type AxisRule,
  inputAt,
  type LabelledAxis,
  NO_UNIT,
  outputAt,
  type RuleContext,
  type Spread,
  unitsOver,
} from '../axis-rule.ts';

const DATA = inputAt(0);
const OUTPUT = outputAt(0);

/** Returns the same axis of the data and the first output. */
function followThrough(
  at: LabelledAxis,
  toInput: (axis: number) => number | undefined,
  toOutput: (axis: number) => number | undefined,
): Spread | string {
  const onInput = at.side === 'input' ? at.axis : toInput(at.axis);
  const onOutput = at.side === 'input' ? toOutput(at.axis) : at.axis;
  if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
  if (onInput === undefined || onOutput === undefined) return 'the axis ends here';
  return {
    axes: [
      { ...DATA, axis: onInput, units: at.units },
      { ...OUTPUT, axis: onOutput, units: at.units },
    ],
  };
}

const transpose: AxisRule = {
  opTypes: ['Transpose'],
  follow(node, at, context) {
    const rank = context.shape(DATA)?.length;
    if (rank === undefined) return 'the rank is unknown';
    const perm =
      intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
    return followThrough(
      at,
      (axis) => perm[axis],
      (axis) => perm.indexOf(axis),
    );
  },
};

/**
 * Axes of size one that Squeeze drops or Unsqueeze adds, counted from the front of the longer shape; undefined where
 * only a run tells them.
 */
function unitAxes(
  node: Node,
  context: RuleContext,
  longer: readonly Dim[],
): readonly number[] | undefined {
  const listed = intsAttribute(node, 'axes') ?? context.numbers(1);
  if (listed !== undefined) return listed.map((axis) => positiveAxis(axis, longer.length));
  // Squeeze without axes drops every axis of 1.
  const isTold = (node.inputs[1] ?? '') === '' && longer.every((dim) => dim !== undefined);
  return isTold ? longer.flatMap((dim, axis) => (dim === 1 ? [axis] : [])) : undefined;
}

const squeeze: AxisRule = {
  opTypes: ['Squeeze', 'Unsqueeze'],
  follow(node, at, context) {
    const removes = node.opType === 'Squeeze';
    const longer = context.shape(removes ? DATA : OUTPUT);
    if (longer === undefined) return 'the rank is unknown';
    const axes = unitAxes(node, context, longer);
    if (axes === undefined) return 'which axes it moves is unknown';
    const dropped = new Set(axes);
    const staying = [...longer.keys()].filter((axis) => !dropped.has(axis));
    const shorten = (axis: number): number | undefined => {
      const found = staying.indexOf(axis);
      return found < 0 ? undefined : found;
    };
    const lengthen = (axis: number): number | undefined => staying[axis];
    return followThrough(at, removes ? lengthen : shorten, removes ? shorten : lengthen);
  },
};

/**
 * Units of indices that are picked one by one, the same ones in every run. Taking a unit out of what is picked is right
 * only where it can be left out of the list: a single index has no list.
 */
function followPicks(
  at: LabelledAxis,
  context: RuleContext,
  axis: number,
  rank: number,
): Spread | string {
  const size = context.shape(DATA)?.[axis];
  const picks = context.isConstant(1) ? context.numbers(1) : undefined;
  if (typeof size !== 'number' || picks === undefined || rank > 1)
    return 'it picks single channels';
  const places = picks.map((pick) => positiveAxis(pick, size));
  if (at.side === 'input') {
    const along = unitsOver(at.units, size);
    const units = Int32Array.from(places, (place) => along[place] ?? NO_UNIT);
    if (units.every((unit) => unit === NO_UNIT)) return { axes: [] };
    return rank === 0 ? 'it picks single channels' : { axes: [{ ...OUTPUT, axis, units }] };
  }
  // One picked twice is one unit: each pick says so by itself.
  const along = unitsOver(at.units, places.length);
  const axes = places.map((place, index): LabelledAxis => {
    const units = new Int32Array(size).fill(NO_UNIT);
    units[place] = along[index]!;
    return { ...DATA, axis, units };
  });
  return { axes };
}

const gather: AxisRule = {
  opTypes: ['Gather'],
  follow(node, at, context) {
    const rank = context.shape(DATA)?.length;
    const picked = context.shape(inputAt(1))?.length;
    if (rank === undefined) return 'the rank is unknown';
    const axis = positiveAxis(intAttribute(node, 'axis', 0), rank);
    if (picked === undefined) return 'the rank of the indices is unknown';
    if (at.side === 'input' && at.index === 1) return 'the channels steer how elements move';
    // The columns of a table of tokens are the residual width; those of a bias by distance are heads.
    if (context.isConstant(0) && (context.isGiven(1) || axis !== 0))
      return 'it looks up rows of a table';
    const toOutput = (from: number): number => (from < axis ? from : from - 1 + picked);
    const toInput = (from: number): number | undefined =>
      from < axis ? from : from < axis + picked ? undefined : from + 1 - picked;
    const along = at.side === 'input' ? at.axis === axis : toInput(at.axis) === undefined;
    if (!along) return followThrough(at, toInput, toOutput);
    return followPicks(at, context, axis, picked);
  },
  resize(node, context) {
    const shape = context.shape(DATA);
    if (shape === undefined) return 'the rank is unknown';
    const axis = positiveAxis(intAttribute(node, 'axis', 0), shape.length);
    const kept = context.kept(DATA, axis);
    if (kept === undefined) return undefined;
    const [size, picks] = [shape[axis], context.numbers(1)];
    if (typeof size !== 'number' || picks === undefined)
      return 'which channels it picks is unknown';
    const places = picks.map((pick) => kept.indexOf(positiveAxis(pick, size)));
    return { inputs: new Map([[1, places.filter((place) => place >= 0)]]) };
  },
};

const pad: AxisRule = {
  opTypes: ['Pad'],
  follow(node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
    const rank = context.shape(DATA)?.length;
    if (rank === undefined) return 'the rank is unknown';
    const pads = intsAttribute(node, 'pads') ?? context.numbers(1);
    if (pads === undefined || (node.inputs[3] ?? '') !== '') return 'which axes it pads is unknown';
    if (pads[at.axis] !== 0 || pads[at.axis + rank] !== 0) return 'it pads the channels';
    return followThrough(
      at,
      (axis) => axis,
      (axis) => axis,
    );
  },
};

/** Operators that move elements. */
export const REARRANGE: readonly AxisRule[] = [transpose, squeeze, gather, pad];
