/** Ops that reduce along axes. */
import { intAttribute, intsAttribute } from '../ir/attributes.ts';
import type { Dim } from '../ir/model.ts';
import { isStatic, multiplyDims } from './dim.ts';
import {
  evaluated,
  type Facts,
  forEachIndex,
  numbersOf,
  type OpSpec,
  positiveAxis,
  scalarOf,
  specs,
  UNKNOWN,
} from './op-spec.ts';
import { isIntegerType, roundToType } from './round-to-type.ts';

const REDUCTIONS: readonly string[] = [
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

const reduce: OpSpec['infer'] = (node, [input = UNKNOWN, axesInput]) => {
  const { dataType, shape } = input;
  const axesKnown = intsAttribute(node, 'axes') ?? numbersOf(axesInput);
  const hasAxesInput = (node.inputs[1] ?? '') !== '';
  if (shape === undefined || (hasAxesInput && axesKnown === undefined)) return [{ dataType }];
  const noop = intAttribute(node, 'noop_with_empty_axes', 0) === 1;
  if (noop && (axesKnown?.length ?? 0) === 0) return [input];
  const all = axesKnown === undefined || axesKnown.length === 0;
  const axes = new Set(
    all ? shape.keys() : axesKnown.map((axis) => positiveAxis(axis, shape.length)),
  );
  const keep = intAttribute(node, 'keepdims', 1) === 1;
  const dims = keep
    ? shape.map((dim, axis) => (axes.has(axis) ? 1 : dim))
    : shape.filter((_, axis) => !axes.has(axis));
  const whole = axes.size === shape.length && isStatic(dims);
  return [evaluated(dataType, dims, whole ? reduceAll(node.opType, input) : undefined)];
};

/** Sums, products and extremes of a few integers: the element counts of shape arithmetic. */
function reduceAll(opType: string, input: Facts): readonly Dim[] | undefined {
  if (!isIntegerType(input.dataType) || input.elements === undefined) return undefined;
  if (opType === 'ReduceProd') {
    return [input.elements.reduce<Dim>((product, dim) => multiplyDims(product, dim), 1)];
  }
  const numbers = numbersOf(input);
  if (numbers === undefined || numbers.length === 0) return undefined;
  const round = (value: number): readonly Dim[] => [roundToType(input.dataType, value)];
  if (opType === 'ReduceSum') return round(numbers.reduce((total, x) => total + x, 0));
  if (opType === 'ReduceMax') return round(Math.max(...numbers));
  return opType === 'ReduceMin' ? round(Math.min(...numbers)) : undefined;
}

const argExtreme: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  if (input.shape === undefined) return [{ dataType: 'int64' }];
  const axis = positiveAxis(intAttribute(node, 'axis', 0), input.shape.length);
  const keep = intAttribute(node, 'keepdims', 1) === 1;
  return [{ dataType: 'int64', shape: input.shape.toSpliced(axis, 1, ...(keep ? [1] : [])) }];
};

const topK: OpSpec['infer'] = (node, [input = UNKNOWN, count]) => {
  const { dataType, shape } = input;
  if (shape === undefined) return [{ dataType }, { dataType: 'int64' }];
  const axis = positiveAxis(intAttribute(node, 'axis', -1), shape.length);
  const dims = shape.with(axis, scalarOf(count));
  return [
    { dataType, shape: dims },
    { dataType: 'int64', shape: dims },
  ];
};

/** Indices of elements that are not zero, one row for each axis; how many there are only known elements tell. */
const nonZero: OpSpec['infer'] = (_node, [input = UNKNOWN]) => {
  const { shape } = input;
  const elements = numbersOf(input);
  if (elements === undefined || !isStatic(shape) || shape.length === 0)
    return [{ dataType: 'int64', shape: [shape?.length, undefined] }];
  const found: (readonly number[])[] = [];
  let at = 0;
  forEachIndex(shape, (index) => {
    if (elements[at++] !== 0) found.push([...index]);
  });
  const rows = shape.flatMap((_, axis) => found.map((index) => index[axis]));
  return [evaluated('int64', [shape.length, found.length], rows)];
};

/** Reducing operators. */
export const REDUCE: readonly OpSpec[] = [
  ...specs(REDUCTIONS, reduce),
  ...specs(['ArgMax', 'ArgMin'], argExtreme),
  { opType: 'TopK', domain: '', infer: topK },
  { opType: 'NonZero', domain: '', infer: nonZero },
];
