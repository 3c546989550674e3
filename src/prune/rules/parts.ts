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
  type RuleContext,
  type Spread,
  unitsOver,
} from '../axis-rule.ts';

const DATA = inputAt(0);
const OUTPUT = outputAt(0);

/** Returns the axis of a node as one counted from the front, undefined where the rank is unknown. */
function axisOf(node: Node, context: RuleContext): number | undefined {
  const rank = (context.shape(DATA) ?? context.shape(OUTPUT))?.length;
  return rank === undefined ? undefined : positiveAxis(intAttribute(node, 'axis', 0), rank);
}

/** Returns where each operand of Concat, or output of Split, starts along the axis; undefined where a size is open. */
function offsets(sizes: readonly Dim[]): readonly number[] | undefined {
  const starts = [0];
  for (const size of sizes) {
    if (typeof size !== 'number' || size < 0) return undefined;
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
    const axis = axisOf(node, context);
    if (axis === undefined) return 'the rank is unknown';
    if (at.axis !== axis) return followBeside(node, at);
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
  sizes: [1],
  follow(node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
    const axis = axisOf(node, context);
    if (axis === undefined) return 'the rank is unknown';
    const outputs = node.outputs.map((_, index) => outputAt(index));
    if (at.axis === axis) return followParts(at, context, DATA, outputs);
    const axes = [DATA, ...outputs].map((operand) => ({
      ...operand,
      axis: at.axis,
      units: at.units,
    }));
    return { axes };
  },
  resize(node, context) {
    const axis = axisOf(node, context);
    if (axis === undefined) return 'the rank is unknown';
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
  sizes: [1, 2],
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

/** Operators that join and cut along an axis. */
export const PARTS: readonly AxisRule[] = [concat, split, slice];
