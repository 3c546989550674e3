import { intAttribute, intsAttribute } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import { positiveAxis } from '../../ops/op-spec.ts';
import {
  type AxisRule,
  inputAt,
  isSame,
  type LabelledAxis,
  type Operand,
  operandsOf,
  outputAt,
  type RuleContext,
  type Spread,
} from '../axis-rule.ts';
import { followBroadcast } from './elementwise.ts';

const DATA = inputAt(0);
const OUTPUT = outputAt(0);

function rankOf(context: RuleContext): number {
  return context.shape(DATA)?.length ?? 0;
}

const softmax: AxisRule = {
  opTypes: ['Softmax', 'LogSoftmax', 'Hardmax', 'LpNormalization'],
  follow(node, at, context) {
    const fallback = context.opset < 13 ? 1 : -1;
    const axis = positiveAxis(intAttribute(node, 'axis', fallback), rankOf(context));
    // Before opset 13 everything from the axis on was one.
    const isOver = context.opset < 13 ? at.axis >= axis : at.axis === axis;
    return isOver ? `${node.opType} over the channels` : followBroadcast(node, at, context);
  },
};

/** Norms over the last axes; scale and bias lie on those, and perhaps on axes of heads before them. */
const layerNorm: AxisRule = {
  opTypes: ['LayerNormalization', 'RMSNormalization', 'SimplifiedLayerNormalization'],
  domains: ['', 'com.microsoft'],
  follow(node, at, context) {
    const rank = context.shape(DATA)?.length;
    if (rank === undefined) return 'the rank is unknown';
    const isParameter = at.side === 'input' && at.index > 0;
    const own = context.shape(at)?.length;
    if (isParameter && own === undefined) return 'the rank of the scale is unknown';
    const axis = isParameter ? at.axis + rank - own! : at.axis;
    if (axis >= positiveAxis(intAttribute(node, 'axis', -1), rank))
      return 'it normalises over the channels: the residual width stays';
    const axes: LabelledAxis[] = [];
    for (const operand of operandsOf(node)) {
      const isScale = operand.side === 'input' && operand.index > 0;
      const shape = isScale ? context.shape(operand) : undefined;
      if (isScale && shape === undefined) return 'the rank of the scale is unknown';
      // Mean and deviation have all axes of the data, those that are normalised of size 1.
      const place = shape === undefined ? axis : axis - rank + shape.length;
      if (place < 0 || shape?.[place] === 1) continue;
      axes.push({ ...operand, axis: place, units: at.units });
    }
    return { axes };
  },
};

const skipNorm: AxisRule = {
  opTypes: ['SkipLayerNormalization', 'SkipSimplifiedLayerNormalization', 'SkipGroupNorm'],
  domains: ['com.microsoft'],
  follow: () => 'it normalises over the channels: the residual width stays',
};

const REDUCTIONS = [
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSum',
  'ReduceSumSquare',
];

const reduce: AxisRule = {
  opTypes: REDUCTIONS,
  follow(node, at, context) {
    if (at.side === 'input' && at.index > 0) return 'the channels steer what is reduced';
    const rank = rankOf(context);
    const given = intsAttribute(node, 'axes') ?? context.numbers(1);
    // An empty list is none: all axes are reduced.
    const listed = given?.length === 0 ? undefined : given;
    if (given === undefined && (node.inputs[1] ?? '') !== '')
      return 'which axes it reduces is unknown';
    const reduced = new Set(listed?.map((axis) => positiveAxis(axis, rank)) ?? Array(rank).keys());
    const keeps = intAttribute(node, 'keepdims', 1) === 1;
    const staying = [...Array(rank).keys()].filter((axis) => keeps || !reduced.has(axis));
    const onData = at.side === 'input' ? at.axis : staying[at.axis];
    if (onData === undefined || reduced.has(onData)) return `${node.opType} over the channels`;
    return {
      axes: [
        { ...DATA, axis: onData, units: at.units },
        { ...OUTPUT, axis: staying.indexOf(onData), units: at.units },
      ],
    };
  },
};

/** One number for each channel in every other input. */
function followChannels(node: Node, at: LabelledAxis): Spread | string {
  const isVector = at.side === 'input' && at.index > 0;
  if (!isVector && at.axis === 0) {
    return { axes: [DATA, OUTPUT].map((operand) => ({ ...operand, axis: 0, units: at.units })) };
  }
  if (!isVector && at.axis !== 1) return `${node.opType} over the axis`;
  const axisOf = (operand: Operand): number =>
    isSame(operand, DATA) || isSame(operand, OUTPUT) ? 1 : 0;
  const axes = operandsOf(node).map((operand) => ({
    ...operand,
    axis: axisOf(operand),
    units: at.units,
  }));
  return { axes, kind: 'channels' };
}

const channelNorm: AxisRule = {
  opTypes: ['BatchNormalization', 'InstanceNormalization'],
  follow(node, at, context) {
    if (intAttribute(node, 'training_mode', 0) === 1 || node.outputs.length > 1)
      return 'it is in training mode';
    if (context.shape(OUTPUT) === undefined) return 'the shape is unknown';
    return followChannels(node, at);
  },
};

/** Where every group is one channel, channels go one by one; else the mean over a group would change. */
const groupNorm: AxisRule = {
  opTypes: ['GroupNormalization'],
  follow(node, at, context) {
    const channels = context.shape(DATA)?.[1];
    if (at.axis === 0 && !(at.side === 'input' && at.index > 0)) return followChannels(node, at);
    if (intAttribute(node, 'num_groups', 0) !== channels)
      return 'it normalises over several channels at once';
    return followChannels(node, at);
  },
  resize(_node, context) {
    const width = context.shapeAfter(DATA)?.[1];
    if (context.kept(DATA, 1) === undefined || typeof width !== 'number') return undefined;
    return {
      attributes: new Map([
        ['num_groups', { name: 'num_groups', kind: 'int', value: BigInt(width) }],
      ]),
    };
  },
};

/** Windows slide over the axes behind the channels. */
const pool: AxisRule = {
  opTypes: [
    'MaxPool',
    'AveragePool',
    'LpPool',
    'GlobalAveragePool',
    'GlobalMaxPool',
    'GlobalLpPool',
  ],
  follow(node, at) {
    if ((node.outputs[1] ?? '') !== '') return 'it gives out places, which count the channels';
    if (at.axis > 1) return `${node.opType} slides over the axis`;
    return {
      axes: [DATA, OUTPUT].map((operand) => ({ ...operand, axis: at.axis, units: at.units })),
    };
  },
};

/** Norms, reductions and pooling. */
export const NORMALIZATION: readonly AxisRule[] = [
  softmax,
  layerNorm,
  skipNorm,
  reduce,
  channelNorm,
  groupNorm,
  pool,
];
