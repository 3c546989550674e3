import { intAttribute } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import { type AxisRule, inputAt, type Operand, outputAt, type RuleContext } from '../axis-rule.ts';
import {
  biasPlaces,
  followHeads,
  type HeadAxis,
  type HeadPlaces,
  headAxis,
  headCounts,
  present,
  unknownInput,
  widthOf,
} from './attention-heads.ts';

/** Inputs of Attention up to `nonpad_kv_seqlen` (opset 24). */
const INPUTS = 7;

/** ai.onnx `Attention` (opset 23): 4-D `[B, heads, S, D]`, or 3-D with the counts as attributes. */
function standardPlaces(node: Node, context: RuleContext): HeadPlaces | string {
  const ranks = [inputAt(0), inputAt(1), inputAt(2), outputAt(0)].map(
    (operand) => context.shape(operand)?.length,
  );
  const [rank] = ranks;
  if ((rank !== 3 && rank !== 4) || new Set(ranks).size > 1) return 'a shape is unknown';
  const flat = rank === 3;
  const heads = flat ? intAttribute(node, 'q_num_heads') : context.shape(inputAt(0))?.[1];
  const groups = flat ? intAttribute(node, 'kv_num_heads') : context.shape(inputAt(1))?.[1];
  if (typeof heads !== 'number' || typeof groups !== 'number')
    return 'the number of heads is unknown';
  const other = unknownInput(node, INPUTS);
  if (other !== undefined) return other;
  const bias = biasPlaces(node, context, 3, heads);
  if (typeof bias === 'string') return bias;
  const place = (operand: Operand, count: number): HeadAxis | undefined => {
    const width = flat ? widthOf(context, operand, count) : 1;
    return width === undefined ? undefined : headAxis(operand, flat ? 2 : 1, width);
  };
  const query = [place(inputAt(0), heads), place(outputAt(0), heads)];
  const keyValue = [place(inputAt(1), groups), place(inputAt(2), groups)];
  const isPlaced = (found: HeadAxis | undefined): found is HeadAxis => found !== undefined;
  if (!query.every(isPlaced) || !keyValue.every(isPlaced)) return 'the width of a head is unknown';
  const caches = [inputAt(4), inputAt(5), outputAt(1), outputAt(2)].map((operand) =>
    headAxis(operand, 1),
  );
  return {
    heads,
    groups,
    query: present(node, [...query, headAxis(outputAt(3), 1), ...bias]),
    keyValue: present(node, [...keyValue, ...caches]),
  };
}

const standard: AxisRule = {
  opTypes: ['Attention'],
  follow: (node, at, context) => followHeads(at, standardPlaces(node, context), context),
  resize(node, context) {
    const axis = context.shape(outputAt(0))?.length === 3 ? 2 : 1;
    const heads = intAttribute(node, 'q_num_heads');
    if (heads === undefined || context.kept(outputAt(0), axis) === undefined) return undefined;
    const groups = intAttribute(node, 'kv_num_heads', heads);
    const [before, after] = [context.shape(outputAt(0)), context.shapeAfter(outputAt(0))];
    const left = (heads * Number(after?.[axis])) / Number(before?.[axis]);
    if (!Number.isInteger(left)) return 'the number of heads is unknown';
    return headCounts(node, { q_num_heads: left, kv_num_heads: heads === groups ? left : groups });
  },
};

/** Rotates inside heads: `[B, heads, S, D]`, or `[B, S, heads * D]`. */
const rotary: AxisRule = {
  opTypes: ['RotaryEmbedding'],
  domains: ['', 'com.microsoft'],
  follow(node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels are angles';
    const shape = context.shape(inputAt(0));
    if (shape === undefined) return 'the shape is unknown';
    if (intAttribute(node, 'is_packed_batching', 0) === 1) return 'it reads a ragged batch';
    const both = [inputAt(0), outputAt(0)];
    if (shape.length === 4 && at.axis === 3) return 'the channels lie inside a head';
    if (shape.length === 4 || at.axis !== 2)
      return { axes: both.map((operand) => ({ ...operand, axis: at.axis, units: at.units })) };
    const heads = rotaryHeads(node, context);
    const width = heads === undefined ? undefined : widthOf(context, inputAt(0), heads);
    if (heads === undefined || width === undefined) return 'the number of heads is unknown';
    const query = both.map((operand) => headAxis(operand, 2, width));
    return followHeads(at, { heads, groups: heads, query, keyValue: [] }, context);
  },
  resize(node, context) {
    const heads = intAttribute(node, 'num_heads', 0);
    const [before, after] = [context.shape(inputAt(0)), context.shapeAfter(inputAt(0))];
    const axis = before?.length === 3 ? 2 : 1;
    if (heads === 0 || !context.shrinks(inputAt(0), axis)) return undefined;
    const left = (heads * Number(after?.[axis])) / Number(before?.[axis]);
    if (!Number.isInteger(left)) return 'the number of heads is unknown';
    return headCounts(node, { num_heads: left });
  },
};

function rotaryHeads(node: Node, context: RuleContext): number | undefined {
  const stated = intAttribute(node, 'num_heads', 0);
  if (stated > 0) return stated;
  const width = context.shape(inputAt(0))?.[2];
  // The tables of sines hold half a head, unless only part of it is rotated.
  const table = node.domain === 'com.microsoft' ? context.shape(inputAt(2))?.[1] : undefined;
  if (typeof width !== 'number' || typeof table !== 'number') return undefined;
  return intAttribute(node, 'rotary_embedding_dim', 0) === 0 ? width / (2 * table) : undefined;
}

/** Attention and rotary embedding of ai.onnx, and the latter of com.microsoft. */
export const ATTENTION: readonly AxisRule[] = [standard, rotary];
