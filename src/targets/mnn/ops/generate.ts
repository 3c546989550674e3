/** Shapes, sequences, sums and choices. */
import { DATA_TYPE, REDUCTION } from '../../../formats/mnn/enums.ts';
import { intAttribute, intsAttribute, tensorAttribute } from '../../../ir/attributes.ts';
import type { Node } from '../../../ir/model.ts';
import { numbersOf, positiveAxis } from '../../../ops/op-spec.ts';
import { tensorElements } from '../../../ops/tensor-elements.ts';
import {
  emit,
  intsOf,
  kindOf,
  kindOfValue,
  type Lowering,
  type LowerNode,
  OTHER_TARGET,
  refuseNode,
  shapeOf,
} from '../lowering.ts';
import { shapeVector, sliceVector } from '../sizes.ts';
import { unary } from './elementwise.ts';

function first(node: Node): string {
  return node.outputs[0] ?? '';
}

const shape: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const rank = shapeOf(lowering, node, input).length;
  const clamp = (at: number): number => Math.min(rank, Math.max(0, positiveAxis(at, rank)));
  const [start, end] = [
    clamp(intAttribute(node, 'start', 0)),
    clamp(intAttribute(node, 'end', rank)),
  ];
  const whole = shapeVector(lowering, lowering.read(input));
  const part = start === 0 && end === rank ? whole : sliceVector(lowering, whole, start, end);
  lowering.alias(first(node), part);
};

/** Sequences of integers; MNN's own of floats adds up steps. */
const range: LowerNode = (lowering, node) => {
  if (kindOfValue(lowering, node.inputs[0] ?? '') !== 'int') {
    refuseNode(node, 'steps that are floats', 'Make a range of integers and scale it.');
  }
  emit(
    lowering,
    'Range',
    node.inputs.map((name) => lowering.read(name)),
    first(node),
    {
      kind: 'Range',
      value: { Tidx: DATA_TYPE.int32 },
    },
  );
};

const constantOfShape: LowerNode = (lowering, node) => {
  const value = tensorAttribute(node, 'value');
  const kind = kindOf(value?.dataType ?? 'float32', `node ${node.name}`);
  const element = value === undefined ? 0 : tensorElements(value)?.[0];
  if (element === undefined) refuseNode(node, 'its value is no number', OTHER_TARGET);
  const filled = kind === 'float' ? lowering.floatsOf([element], []) : lowering.ints([element], []);
  emit(lowering, 'BroadcastTo', [filled, lowering.read(node.inputs[0] ?? '')], first(node));
};

/** Axes of a reduction, from an attribute or an input; none means all. */
function reducedAxes(lowering: Lowering, node: Node): readonly number[] {
  const rank = shapeOf(lowering, node, node.inputs[0] ?? '').length;
  const [, given = ''] = node.inputs;
  const stated =
    intsAttribute(node, 'axes') ?? (given === '' ? [] : intsOf(lowering, node, given, 'axes'));
  if (stated.length > 0) return stated.map((axis) => positiveAxis(axis, rank));
  const keepsAll = intAttribute(node, 'noop_with_empty_axes', 0) === 1;
  return keepsAll ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

/** Adds a reduction along axes. */
export function reduce(
  lowering: Lowering,
  operation: keyof typeof REDUCTION,
  tensor: string,
  how: {
    readonly axes: readonly number[];
    readonly keepDims: boolean;
    readonly kind: 'float' | 'int';
  },
  output: string = lowering.fresh(`${tensor}_${operation}`),
): string {
  const dType = how.kind === 'float' ? DATA_TYPE.float : DATA_TYPE.int32;
  const value = { operation: REDUCTION[operation], dim: how.axes, keepDims: how.keepDims, dType };
  return emit(lowering, 'Reduction', [tensor], output, { kind: 'ReductionParam', value });
}

function reduceRow(operation: keyof typeof REDUCTION): LowerNode {
  return (lowering, node) => {
    const [input = ''] = node.inputs;
    const axes = reducedAxes(lowering, node);
    const tensor = lowering.read(input);
    const keepDims = intAttribute(node, 'keepdims', 1) === 1;
    const kind = kindOfValue(lowering, input);
    if (kind === 'int' && operation === 'mean') {
      refuseNode(node, 'a mean of integers', 'Cast to float in the model.');
    }
    if (axes.length === 0) lowering.alias(first(node), tensor);
    else reduce(lowering, operation, tensor, { axes, keepDims, kind }, first(node));
  };
}

/** `sum(x^2)`, for ReduceL2 with its root. */
const sumOfSquares: LowerNode = (lowering, node) => {
  const axes = reducedAxes(lowering, node);
  const keepDims = intAttribute(node, 'keepdims', 1) === 1;
  const square = unary(lowering, 'square', lowering.read(node.inputs[0] ?? ''));
  const isRoot = node.opType === 'ReduceL2';
  const output = isRoot ? undefined : first(node);
  const sum = reduce(lowering, 'sum', square, { axes, keepDims, kind: 'float' }, output);
  if (isRoot) unary(lowering, 'sqrt', sum, first(node));
};

const argument: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const rank = shapeOf(lowering, node, input).length;
  const axis = positiveAxis(intAttribute(node, 'axis', 0), rank);
  if (intAttribute(node, 'select_last_index', 0) === 1) {
    refuseNode(node, 'the last of equal elements is asked for', OTHER_TARGET);
  }
  const keeps = intAttribute(node, 'keepdims', 1) === 1;
  const output = keeps ? lowering.fresh(`${first(node)}_index`) : first(node);
  const type = node.opType === 'ArgMin' ? 'ArgMin' : 'ArgMax';
  const made = emit(lowering, type, [lowering.read(input)], output, {
    kind: 'ArgMax',
    value: { axis, topK: 1, outMaxVal: 0 },
  });
  if (!keeps) return;
  emit(lowering, 'Unsqueeze', [made], first(node), {
    kind: 'SqueezeParam',
    value: { squeezeDims: [axis] },
  });
};

const cumulate: LowerNode = (lowering, node) => {
  const [input = '', axis = ''] = node.inputs;
  const known = numbersOf(lowering.facts(axis));
  if (known === undefined) refuseNode(node, 'its axis is computed in each run', OTHER_TARGET);
  const rank = shapeOf(lowering, node, input).length;
  const inputs = [lowering.read(input), lowering.ints([positiveAxis(known[0] ?? 0, rank)], [])];
  const exclusive = intAttribute(node, 'exclusive', 0) === 1;
  const reverse = intAttribute(node, 'reverse', 0) === 1;
  emit(lowering, 'CumSum', inputs, first(node), { kind: 'CumSum', value: { exclusive, reverse } });
};

/** Rows by op type. */
export const GENERATE: Readonly<Record<string, LowerNode>> = {
  ArgMax: argument,
  ArgMin: argument,
  ConstantOfShape: constantOfShape,
  CumSum: cumulate,
  Range: range,
  ReduceL2: sumOfSquares,
  ReduceMax: reduceRow('maximum'),
  ReduceMean: reduceRow('mean'),
  ReduceMin: reduceRow('minimum'),
  ReduceProd: reduceRow('product'),
  ReduceSum: reduceRow('sum'),
  ReduceSumSquare: sumOfSquares,
  Shape: shape,
};
