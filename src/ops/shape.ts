/** Ops that read or change shapes without moving elements. */
import { intAttribute, intsAttribute } from '../ir/attributes.ts';
import type { Dim, Node } from '../ir/model.ts';
import { broadcastReader, broadcastShapes } from './broadcast.ts';
import { divideDims, isStatic, multiplyDims, productOfDims } from './dim.ts';
import {
  evaluated,
  type Facts,
  forEachIndex,
  MAX_ELEMENTS,
  numbersOf,
  type OpSpec,
  positiveAxis,
  UNKNOWN,
} from './op-spec.ts';

const shape: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  if (input.shape === undefined) return [{ dataType: 'int64', shape: [undefined] }];
  const rank = input.shape.length;
  const clamp = (at: number): number => Math.min(rank, Math.max(0, positiveAxis(at, rank)));
  const dims = input.shape.slice(
    clamp(intAttribute(node, 'start', 0)),
    clamp(intAttribute(node, 'end', rank)),
  );
  return [evaluated('int64', [dims.length], dims)];
};

const size: OpSpec['infer'] = (_node, [input = UNKNOWN]) => {
  const count = input.shape === undefined ? undefined : productOfDims(input.shape);
  return [evaluated('int64', [], [count])];
};

const reshape: OpSpec['infer'] = (node, [input = UNKNOWN, target = UNKNOWN], { opset }) => {
  const wanted = opset < 5 ? intsAttribute(node, 'shape') : target.elements;
  if (wanted === undefined) {
    const [rank] = target.shape ?? [];
    const dims = typeof rank === 'number' ? new Array<Dim>(rank).fill(undefined) : undefined;
    return [{ dataType: input.dataType, shape: dims }];
  }
  const dims = reshapedDims(input.shape, wanted, intAttribute(node, 'allowzero', 0) === 1);
  return [evaluated(input.dataType, dims, input.elements)];
};

/** -1 takes what is left, 0 copies the input's dimension (unless `allowZero`). */
function reshapedDims(
  from: readonly Dim[] | undefined,
  wanted: readonly Dim[],
  allowZero: boolean,
): readonly Dim[] {
  const dims = wanted.map((dim, axis) => (dim === 0 && !allowZero ? from?.[axis] : dim));
  const open = dims.indexOf(-1);
  if (open < 0) return dims;
  const rest = productOfDims(dims.filter((_, axis) => axis !== open));
  const total = from === undefined ? undefined : productOfDims(from);
  return dims.map((dim, axis) => (axis === open ? divideDims(total, rest) : dim));
}

const flatten: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  if (input.shape === undefined) {
    return [{ dataType: input.dataType, shape: [undefined, undefined] }];
  }
  const axis = positiveAxis(intAttribute(node, 'axis', 1), input.shape.length);
  const dims = [productOfDims(input.shape.slice(0, axis)), productOfDims(input.shape.slice(axis))];
  return [evaluated(input.dataType, dims, input.elements)];
};

/** `axes` moved from an attribute to an input at opset 13. */
function axesOf(node: Node, input: Facts | undefined): readonly number[] | undefined {
  return intsAttribute(node, 'axes') ?? numbersOf(input);
}

const squeeze: OpSpec['infer'] = (node, [input = UNKNOWN, axesInput]) => {
  const from = input.shape;
  if (from === undefined) return [{ dataType: input.dataType }];
  const axes = axesOf(node, axesInput)?.map((axis) => positiveAxis(axis, from.length));
  const given = (node.inputs[1] ?? '') !== '';
  if (axes === undefined && given) return [{ dataType: input.dataType }];
  if (axes === undefined && from.some((dim) => typeof dim !== 'number')) {
    return [{ dataType: input.dataType }];
  }
  const dims = from.filter((dim, axis) => (axes === undefined ? dim !== 1 : !axes.includes(axis)));
  return [evaluated(input.dataType, dims, input.elements)];
};

const unsqueeze: OpSpec['infer'] = (node, [input = UNKNOWN, axesInput]) => {
  const axes = axesOf(node, axesInput);
  if (input.shape === undefined || axes === undefined) return [{ dataType: input.dataType }];
  const rank = input.shape.length + axes.length;
  const added = new Set(axes.map((axis) => positiveAxis(axis, rank)));
  const rest = [...input.shape];
  const dims = Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : rest.shift()));
  return [evaluated(input.dataType, dims, input.elements)];
};

const expand: OpSpec['infer'] = (_node, [input = UNKNOWN, target = UNKNOWN]) => {
  const wanted = target.elements;
  if (wanted === undefined) return [{ dataType: input.dataType }];
  const dims = broadcastShapes([input.shape, wanted]);
  if (input.elements === undefined || !isStatic(dims))
    return [{ dataType: input.dataType, shape: dims }];
  if (dims.reduce((product, dim) => product * dim, 1) > MAX_ELEMENTS) {
    return [{ dataType: input.dataType, shape: dims }];
  }
  const read = broadcastReader(input, dims.length);
  const elements: Dim[] = [];
  forEachIndex(dims, (index) => elements.push(read(index)));
  return [evaluated(input.dataType, dims, elements)];
};

const tile: OpSpec['infer'] = (_node, [input = UNKNOWN, repeats]) => {
  const dims = input.shape?.map((dim, axis) => multiplyDims(dim, repeats?.elements?.[axis]));
  return [{ dataType: input.dataType, shape: dims }];
};

/** Shape operators. */
export const SHAPE: readonly OpSpec[] = [
  { opType: 'Shape', domain: '', infer: shape },
  { opType: 'Size', domain: '', infer: size },
  { opType: 'Reshape', domain: '', infer: reshape },
  { opType: 'Flatten', domain: '', infer: flatten },
  { opType: 'Squeeze', domain: '', infer: squeeze },
  { opType: 'Unsqueeze', domain: '', infer: unsqueeze },
  { opType: 'Expand', domain: '', infer: expand },
  { opType: 'Tile', domain: '', infer: tile },
];
