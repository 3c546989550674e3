import type { Dim } from '../../ir/model.ts';
import {
  type AxisRule,
  inputAt,
  type LabelledAxis,
  outputAt,
  type ResizeContext,
} from '../axis-rule.ts';

const DATA = inputAt(0);
const OUTPUT = outputAt(0);

/**
 * Returns the elements of a vector of output sizes after the cut. `stays` says which entries follow by themselves
 * (-1, or a copied size); a string says which size only a run tells.
 */
export function outputSizes(
  context: ResizeContext,
  wanted: readonly Dim[] | undefined,
  stays: (entry: Dim, axis: number) => boolean,
): readonly Dim[] | string {
  const after = context.shapeAfter(OUTPUT);
  if (after === undefined) return 'the shape is unknown';
  if (wanted === undefined || wanted.length > after.length) {
    return 'the sizes it makes are known only in a run';
  }
  const longer = after.length - wanted.length;
  const next = wanted.map((entry, index) => {
    const axis = index + longer;
    return !context.shrinks(OUTPUT, axis) || stays(entry, axis) ? entry : after[axis];
  });
  const open = next.indexOf(undefined);
  return open < 0 ? next : `the size of axis ${open + longer} is known only in a run`;
}

/** Returns the statement of one input of sizes, or why there is none. */
export function statement(
  index: number,
  sizes: readonly Dim[] | string,
): ReturnType<NonNullable<AxisRule['resize']>> {
  return typeof sizes === 'string' ? sizes : { inputs: new Map([[index, sizes]]) };
}

const expand: AxisRule = {
  opTypes: ['Expand'],
  sizes: [1],
  follow(_node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer how elements move';
    const [from, to] = [context.shape(DATA), context.shape(OUTPUT)];
    if (from === undefined || to === undefined) return 'a shape is unknown';
    const longer = to.length - from.length;
    const onOutput = at.side === 'input' ? at.axis + longer : at.axis;
    const axes: LabelledAxis[] = [{ ...OUTPUT, axis: onOutput, units: at.units }];
    const dim = from[onOutput - longer];
    if (onOutput >= longer && dim !== 1) {
      if (dim === undefined || dim !== to[onOutput]) return 'it repeats an axis of unknown size';
      axes.push({ ...DATA, axis: onOutput - longer, units: at.units });
    }
    return { axes };
  },
  // An entry of 1 leaves the axis as the data has it.
  resize: (_node, context) =>
    statement(
      1,
      outputSizes(context, context.elements(1), (entry) => entry === 1),
    ),
};

const tile: AxisRule = {
  opTypes: ['Tile'],
  sizes: [1],
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
  // Of an axis of 1 there are as many copies as the output is long.
  resize: (_node, context) =>
    statement(
      1,
      outputSizes(
        context,
        context.elements(1),
        (_entry, axis) => context.shape(DATA)?.[axis] !== 1,
      ),
    ),
};

/** Makes a tensor of a size that is given as its input. */
const constantOfShape: AxisRule = {
  opTypes: ['ConstantOfShape'],
  sizes: [0],
  follow: (_node, at) => (at.side === 'output' ? { axes: [] } : 'the channels are a size'),
  resize: (_node, context) =>
    statement(
      0,
      outputSizes(context, context.elements(0), () => false),
    ),
};

/** Reads sizes: what is computed from them follows, or goes on with the old ones. */
const readers: AxisRule = { opTypes: ['Shape', 'Size'], follow: () => ({ axes: [] }) };

/** Operators that repeat or make elements up to a size, and those that read sizes. */
export const SIZES: readonly AxisRule[] = [expand, tile, constantOfShape, readers];
