import { intAttribute, intsAttribute } from '../../ir/attributes.ts';
import type { Dim, Node } from '../../ir/model.ts';
import { positiveAxis } from '../../ops/op-spec.ts';
import {
  type AxisRule,
  inputAt,
  type LabelledAxis,
  NO_UNIT,
  operandsOf,
  outputAt,
  type ResizeContext,
  type RuleContext,
  type Spread,
  unitsOver,
} from '../axis-rule.ts';

const DATA = inputAt(0);
const OUTPUT = outputAt(0);

/** Returns the axis of a node as one counted from the front of its data. */
function axisOf(node: Node, context: RuleContext, fallback: number): number {
  return positiveAxis(intAttribute(node, 'axis', fallback), context.shape(DATA)?.length ?? 0);
}

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

/** Axes of size one that Squeeze drops or Unsqueeze adds, counted from the front of the longer shape. */
function unitAxes(node: Node, context: RuleContext, longer: readonly Dim[]): readonly number[] {
  const listed = intsAttribute(node, 'axes') ?? context.numbers(1);
  if (listed !== undefined) return listed.map((axis) => positiveAxis(axis, longer.length));
  return longer.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
}

const squeeze: AxisRule = {
  opTypes: ['Squeeze', 'Unsqueeze'],
  follow(node, at, context) {
    const removes = node.opType === 'Squeeze';
    const longer = context.shape(removes ? DATA : OUTPUT);
    if (longer === undefined) return 'the rank is unknown';
    const dropped = new Set(unitAxes(node, context, longer));
    const staying = [...longer.keys()].filter((axis) => !dropped.has(axis));
    const shorten = (axis: number): number | undefined => {
      const found = staying.indexOf(axis);
      return found < 0 ? undefined : found;
    };
    const lengthen = (axis: number): number | undefined => staying[axis];
    return followThrough(at, removes ? lengthen : shorten, removes ? shorten : lengthen);
  },
};

/** Returns where each operand of Concat, or output of Split, starts along the axis; undefined where a size is open. */
function offsets(sizes: readonly Dim[]): readonly number[] | undefined {
  const starts = [0];
  for (const size of sizes) {
    if (typeof size !== 'number') return undefined;
    starts.push(starts.at(-1)! + size);
  }
  return starts;
}

/** Units of the whole and of its parts along the axis at which they are joined or cut. */
function followParts(
  at: LabelledAxis,
  context: RuleContext,
  whole: ReturnType<typeof inputAt>,
  parts: readonly ReturnType<typeof inputAt>[],
): Spread | string {
  const starts = offsets(parts.map((part) => context.shape(part)?.[at.axis]));
  if (starts === undefined) return 'parts of unknown size along the channels';
  const total = starts.at(-1)!;
  if (at.side === whole.side) {
    const units = unitsOver(at.units, total);
    return {
      axes: parts.map((part, index) => ({
        ...part,
        axis: at.axis,
        units: units.slice(starts[index], starts[index + 1]),
      })),
    };
  }
  const position = parts.findIndex(({ index }) => index === at.index);
  const units = new Int32Array(total).fill(NO_UNIT);
  const [from = 0, to = 0] = [starts[position], starts[position + 1]];
  units.set(unitsOver(at.units, to - from), from);
  return { axes: [{ ...whole, axis: at.axis, units }] };
}

function followBeside(node: Node, at: LabelledAxis): Spread {
  return {
    axes: operandsOf(node).map((operand) => ({ ...operand, axis: at.axis, units: at.units })),
  };
}

const concat: AxisRule = {
  opTypes: ['Concat'],
  follow(node, at, context) {
    if (at.axis !== axisOf(node, context, 0)) return followBeside(node, at);
    return followParts(
      at,
      context,
      OUTPUT,
      node.inputs.map((_, index) => inputAt(index)),
    );
  },
};

const split: AxisRule = {
  opTypes: ['Split'],
  follow(node, at, context) {
    const outputs = node.outputs.map((_, index) => outputAt(index));
    if (at.axis === axisOf(node, context, 0)) return followParts(at, context, DATA, outputs);
    const axes = [DATA, ...outputs].map((operand) => ({
      ...operand,
      axis: at.axis,
      units: at.units,
    }));
    return { axes };
  },
  resize(node, context) {
    const axis = axisOf(node, context, 0);
    if (context.kept(DATA, axis) === undefined) return undefined;
    const sizes = node.outputs.map((_, index) => context.shapeAfter(outputAt(index))?.[axis]);
    if (!sizes.every((size) => typeof size === 'number')) return 'parts of unknown size';
    if (intsAttribute(node, 'split') !== undefined) {
      return {
        attributes: new Map([['split', { name: 'split', kind: 'ints', value: sizes.map(BigInt) }]]),
      };
    }
    if ((node.inputs[1] ?? '') !== '') return { inputs: new Map([[1, sizes]]) };
    return new Set(sizes).size === 1 ? undefined : 'a Split into equal parts would become uneven';
  },
};

interface SliceRange {
  readonly entry: number;
  readonly start: number;
  readonly end: number;
}

/** Returns the range that a Slice takes along an axis, undefined when it takes all, a string when it cannot be told. */
function sliceRange(
  node: Node,
  context: RuleContext,
  axis: number,
): SliceRange | undefined | string {
  const shape = context.shape(DATA);
  const starts = intsAttribute(node, 'starts') ?? context.numbers(1);
  const ends = intsAttribute(node, 'ends') ?? context.numbers(2);
  const listed =
    intsAttribute(node, 'axes') ?? ((node.inputs[3] ?? '') === '' ? undefined : context.numbers(3));
  const steps = (node.inputs[4] ?? '') === '' ? undefined : context.numbers(4);
  if (shape === undefined) return 'the rank is unknown';
  if (listed === undefined && (node.inputs[3] ?? '') !== '') return 'which axes it cuts is unknown';
  const axes = listed?.map((entry) => positiveAxis(entry, shape.length));
  const entry = axes === undefined ? axis : axes.indexOf(axis);
  const size = shape[axis];
  // Without axes the first ones are cut, as many as there are starts.
  if (entry < 0 || (starts !== undefined && entry >= starts.length)) return undefined;
  if (starts === undefined || ends === undefined || typeof size !== 'number')
    return 'it cuts the channels at a place that only a run tells';
  if ((node.inputs[4] ?? '') !== '' && steps?.[entry] !== 1) return 'it takes every other channel';
  const clamp = (place: number): number =>
    Math.min(size, Math.max(0, place < 0 ? place + size : place));
  return { entry, start: clamp(starts[entry] ?? 0), end: clamp(ends[entry] ?? size) };
}

/** Exporters write INT64_MAX for "to the end", which a number cannot hold; any place past the axis says the same. */
function safePlace(place: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, place));
}

const slice: AxisRule = {
  opTypes: ['Slice'],
  follow(node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
    const range = sliceRange(node, context, at.axis);
    if (typeof range === 'string') return range;
    if (range === undefined)
      return {
        axes: [DATA, OUTPUT].map((operand) => ({ ...operand, axis: at.axis, units: at.units })),
      };
    const size = context.shape(DATA)?.[at.axis] as number;
    const { start, end } = range;
    if (at.side === 'input') {
      return {
        axes: [{ ...OUTPUT, axis: at.axis, units: unitsOver(at.units, size).slice(start, end) }],
      };
    }
    const units = new Int32Array(size).fill(NO_UNIT);
    units.set(unitsOver(at.units, end - start), start);
    return { axes: [{ ...DATA, axis: at.axis, units }] };
  },
  resize(node, context) {
    const starts = (context.numbers(1) ?? []).map(safePlace);
    const ends = (context.numbers(2) ?? []).map(safePlace);
    let changes = false;
    for (const axis of (context.shape(DATA) ?? []).keys()) {
      const kept = context.kept(DATA, axis);
      const range = kept === undefined ? undefined : sliceRange(node, context, axis);
      if (typeof range === 'string') return range;
      if (kept === undefined || range === undefined) continue;
      if (intsAttribute(node, 'starts') !== undefined) return 'a Slice of an opset before 10';
      const countBefore = (place: number): number => kept.filter((index) => index < place).length;
      starts[range.entry] = countBefore(range.start);
      // An end past the axis stays one.
      const size = context.shape(DATA)?.[axis] as number;
      if (ends[range.entry]! < size) ends[range.entry] = countBefore(range.end);
      changes = true;
    }
    if (!changes) return undefined;
    return {
      inputs: new Map([
        [1, starts],
        [2, ends],
      ]),
    };
  },
};

const gather: AxisRule = {
  opTypes: ['Gather'],
  follow(node, at, context) {
    const axis = axisOf(node, context, 0);
    const picked = context.shape(inputAt(1))?.length;
    if (picked === undefined) return 'the rank of the indices is unknown';
    if (at.side === 'input' && at.index === 1) return 'the channels steer how elements move';
    if (context.isConstant(0)) return 'it looks up rows of a table';
    const toOutput = (from: number): number => (from < axis ? from : from - 1 + picked);
    const toInput = (from: number): number | undefined =>
      from < axis ? from : from < axis + picked ? undefined : from + 1 - picked;
    const along = at.side === 'input' ? at.axis === axis : toInput(at.axis) === undefined;
    if (!along) return followThrough(at, toInput, toOutput);
    return 'it picks single channels';
  },
};

const expand: AxisRule = {
  opTypes: ['Expand'],
  follow(_node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
    const [from, to] = [context.shape(DATA), context.shape(OUTPUT)];
    if (from === undefined || to === undefined) return 'a shape is unknown';
    const longer = to.length - from.length;
    const onOutput = at.side === 'input' ? at.axis + longer : at.axis;
    const axes: LabelledAxis[] = [{ ...OUTPUT, axis: onOutput, units: at.units }];
    const dim = from[onOutput - longer];
    if (onOutput >= longer && dim !== 1) {
      if (dim !== to[onOutput]) return 'it repeats an axis of unknown size';
      axes.push({ ...DATA, axis: onOutput - longer, units: at.units });
    }
    return { axes };
  },
  resize(_node, context) {
    const wanted = context.elements(1);
    const shape = context.shape(OUTPUT);
    const after = context.shapeAfter(OUTPUT);
    if (wanted === undefined || shape === undefined || after === undefined) return undefined;
    const longer = shape.length - wanted.length;
    // An entry of 1 leaves the axis as the data has it.
    const next = wanted.map((entry, index) =>
      entry === 1 || shape[index + longer] === after[index + longer]
        ? entry
        : after[index + longer],
    );
    return changed(wanted, next, 1);
  },
};

const tile: AxisRule = {
  opTypes: ['Tile'],
  follow(_node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
    const [from, to] = [context.shape(DATA), context.shape(OUTPUT)];
    if (from === undefined || to === undefined) return 'a shape is unknown';
    const repeats = context.numbers(1)?.[at.axis];
    if (repeats === 1)
      return {
        axes: [DATA, OUTPUT].map((operand) => ({ ...operand, axis: at.axis, units: at.units })),
      };
    if (from[at.axis] === 1 && at.side === 'output') return { axes: [] };
    return 'it repeats the channels';
  },
  resize(_node, context) {
    const repeats = context.elements(1);
    const [shape, after] = [context.shape(OUTPUT), context.shapeAfter(OUTPUT)];
    if (repeats === undefined || shape === undefined || after === undefined) return undefined;
    const next = repeats.map((entry, axis) =>
      shape[axis] === after[axis] || context.shape(DATA)?.[axis] !== 1 ? entry : after[axis],
    );
    return changed(repeats, next, 1);
  },
};

/** Returns the elements of a size input where they change. */
export function changed(
  before: readonly Dim[],
  after: readonly Dim[],
  index: number,
): ReturnType<NonNullable<AxisRule['resize']>> {
  return before.every((entry, at) => entry === after[at])
    ? undefined
    : { inputs: new Map([[index, after]]) };
}

const pad: AxisRule = {
  opTypes: ['Pad'],
  follow(node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
    const rank = context.shape(DATA)?.length ?? 0;
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

/** Makes a tensor of a size that is given as its input. */
const constantOfShape: AxisRule = {
  opTypes: ['ConstantOfShape'],
  follow: (_node, at) => (at.side === 'output' ? { axes: [] } : 'the channels are a size'),
  resize(_node, context: ResizeContext) {
    const wanted = context.elements(0);
    const after = context.shapeAfter(OUTPUT);
    return wanted === undefined || after === undefined ? undefined : changed(wanted, after, 0);
  },
};

/** Reads sizes: whatever is computed from them follows by itself, or is found wrong after the cut. */
const sizes: AxisRule = { opTypes: ['Shape', 'Size'], follow: () => ({ axes: [] }) };

/** Operators that move elements. */
export const REARRANGE: readonly AxisRule[] = [
  transpose,
  squeeze,
  concat,
  split,
  slice,
  gather,
  expand,
  tile,
  pad,
  constantOfShape,
  sizes,
];
