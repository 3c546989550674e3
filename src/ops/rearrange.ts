/** Ops that pick, join and move elements. */
import { intAttribute, intsAttribute } from '../ir/attributes.ts';
import type { Dim } from '../ir/model.ts';
import { addDims, divideDims, isStatic, multiplyDims, subtractDims } from './dim.ts';
import {
  evaluated,
  type Facts,
  forEachIndex,
  numbersOf,
  type OpSpec,
  positiveAxis,
  scalarOf,
  stridesOf,
  UNKNOWN,
} from './op-spec.ts';

const transpose: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  const from = input.shape;
  if (from === undefined) return [{ dataType: input.dataType }];
  const perm = intsAttribute(node, 'perm') ?? from.map((_, axis) => from.length - 1 - axis);
  const dims = perm.map((axis) => from[axis]);
  if (input.elements === undefined || !isStatic(from))
    return [{ dataType: input.dataType, shape: dims }];
  const strides = stridesOf(from);
  const elements: Dim[] = [];
  forEachIndex(dims.map(Number), (index) => {
    const offset = perm.reduce((at, axis, to) => at + (strides[axis] ?? 0) * (index[to] ?? 0), 0);
    elements.push(input.elements?.[offset]);
  });
  return [evaluated(input.dataType, dims, elements)];
};

const concat: OpSpec['infer'] = (node, inputs) => {
  const dataType = inputs.find((input) => input.dataType !== undefined)?.dataType;
  const known = inputs.find((input) => input.shape !== undefined)?.shape;
  if (known === undefined) return [{ dataType }];
  const axis = positiveAxis(intAttribute(node, 'axis', 0), known.length);
  const dims = known.map((_, at) => {
    const column = inputs.map((input) => input.shape?.[at]);
    if (at === axis) return column.reduce<Dim>((total, dim) => addDims(total, dim), 0);
    return column.find((dim) => typeof dim === 'number') ?? column.find((dim) => dim !== undefined);
  });
  const elements = known.length === 1 ? concatenated(inputs) : undefined;
  return [evaluated(dataType, dims, elements)];
};

/** Joins vectors; one with an unknown number of elements makes the whole unknown. */
function concatenated(inputs: readonly Facts[]): readonly Dim[] | undefined {
  const elements: Dim[] = [];
  for (const input of inputs) {
    if (input.elements !== undefined) elements.push(...input.elements);
    else if (typeof input.shape?.[0] === 'number' && input.shape[0] <= 8) {
      elements.push(...new Array<Dim>(input.shape[0]).fill(undefined));
    } else return undefined;
  }
  return elements;
}

const split: OpSpec['infer'] = (node, [input = UNKNOWN, sizesInput]) => {
  const { dataType, shape } = input;
  if (shape === undefined) return node.outputs.map(() => ({ dataType }));
  const axis = positiveAxis(intAttribute(node, 'axis', 0), shape.length);
  const sizes = intsAttribute(node, 'split') ?? sizesInput?.elements;
  const parts = sizes ?? evenParts(shape[axis], node.outputs.length);
  let start = 0;
  return parts.map((part) => {
    const dims = shape.map((dim, at) => (at === axis ? part : dim));
    const from = start;
    start += typeof part === 'number' ? part : Number.NaN;
    const elements =
      shape.length === 1 && Number.isFinite(start) ? input.elements?.slice(from, start) : undefined;
    return evaluated(dataType, dims, elements);
  });
};

/** Split-18 `num_outputs`: equal parts, the last one smaller when they do not fit. */
function evenParts(dim: Dim, count: number): readonly Dim[] {
  if (typeof dim !== 'number') return new Array<Dim>(count).fill(divideDims(dim, count));
  const part = Math.ceil(dim / count);
  return Array.from({ length: count }, (_, index) =>
    index < count - 1 ? part : dim - part * (count - 1),
  );
}

interface SliceRange {
  readonly start: number;
  readonly end: Dim;
  readonly step: number;
}

const slice: OpSpec['infer'] = (node, inputs, { opset }) => {
  const [input = UNKNOWN, startsInput, endsInput, axesInput, stepsInput] = inputs;
  const from = input.shape;
  const starts = opset < 10 ? intsAttribute(node, 'starts') : startsInput?.elements;
  const ends = opset < 10 ? intsAttribute(node, 'ends') : endsInput?.elements;
  if (from === undefined) return [{ dataType: input.dataType }];
  const axes = opset < 10 ? intsAttribute(node, 'axes') : numbersOf(axesInput);
  const hasAxes = axes !== undefined || (node.inputs[3] ?? '') === '';
  if (!hasAxes) return [{ dataType: input.dataType, shape: from.map(() => undefined) }];
  const count = starts?.length ?? startsInput?.shape?.[0];
  const sliced =
    axes ?? from.map((_, axis) => axis).slice(0, typeof count === 'number' ? count : undefined);
  const dims = [...from];
  const ranges: (SliceRange | undefined)[] = from.map((dim) => ({ start: 0, end: dim, step: 1 }));
  sliced.forEach((signedAxis, at) => {
    const axis = positiveAxis(signedAxis, from.length);
    const step = (node.inputs[4] ?? '') === '' ? 1 : stepsInput?.elements?.[at];
    const { length, range } = slicedDim(from[axis], starts?.[at], ends?.[at], step);
    dims[axis] = length;
    ranges[axis] = range;
  });
  return [evaluated(input.dataType, dims, slicedElements(input, ranges))];
};

/** Elements at the picked indices of every axis, row-major. */
function slicedElements(
  { elements, shape }: Facts,
  ranges: readonly (SliceRange | undefined)[],
): readonly Dim[] | undefined {
  if (elements === undefined || !isStatic(shape)) return undefined;
  const strides = stridesOf(shape);
  let offsets: readonly number[] = [0];
  for (const [axis, range] of ranges.entries()) {
    if (range === undefined || typeof range.end !== 'number') return undefined;
    const { start, end, step } = range;
    const picked: number[] = [];
    for (let at = start; step > 0 ? at < end : at > end; at += step) picked.push(at);
    offsets = offsets.flatMap((offset) => picked.map((at) => offset + at * (strides[axis] ?? 0)));
  }
  return offsets.map((offset) => elements[offset]);
}

function slicedDim(
  dim: Dim,
  start: Dim,
  end: Dim,
  step: Dim,
): { readonly length: Dim; readonly range: SliceRange | undefined } {
  const unknown = { length: undefined, range: undefined };
  if (start === undefined || typeof step !== 'number' || step === 0) return unknown;
  if (typeof dim !== 'number')
    return { length: symbolicLength(dim, start, end, step), range: undefined };
  if (typeof start !== 'number' || typeof end !== 'number') return unknown;
  const low = step > 0 ? 0 : -1;
  const high = step > 0 ? dim : dim - 1;
  const clamp = (at: number): number => Math.min(high, Math.max(low, at));
  const from = clamp(start < 0 ? start + dim : start);
  const to = clamp(end < 0 ? end + dim : end);
  const length = Math.max(0, Math.ceil((to - from) / step));
  return { length, range: { start: from, end: to, step } };
}

/** `x[start:]` of a symbolic length; other ends could be clamped, so nothing is known of them. */
function symbolicLength(dim: Dim, start: Dim, end: Dim, step: number): Dim {
  const toEnd = end === dim || (typeof end === 'number' && end >= 2 ** 31 - 1);
  if (step !== 1 || dim === undefined || !toEnd) return undefined;
  if (start === 0) return dim;
  return typeof start === 'string' ? subtractDims(dim, start) : undefined;
}

const gather: OpSpec['infer'] = (node, [data = UNKNOWN, indices = UNKNOWN]) => {
  const { dataType } = data;
  if (data.shape === undefined || indices.shape === undefined) return [{ dataType }];
  const axis = positiveAxis(intAttribute(node, 'axis', 0), data.shape.length);
  const dims = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
  const picks = numbersOf(indices);
  const source = data.shape.length === 1 ? data.elements : undefined;
  const elements =
    source !== undefined && picks !== undefined
      ? picks.map((pick) => source[positiveAxis(pick, source.length)])
      : undefined;
  return [evaluated(dataType, dims, elements)];
};

const gatherElements: OpSpec['infer'] = (_node, [data = UNKNOWN, indices = UNKNOWN]) => [
  { dataType: data.dataType, shape: indices.shape },
];

const gatherND: OpSpec['infer'] = (node, [data = UNKNOWN, indices = UNKNOWN]) => {
  const depth = indices.shape?.at(-1);
  const batch = intAttribute(node, 'batch_dims', 0);
  if (data.shape === undefined || indices.shape === undefined || typeof depth !== 'number') {
    return [{ dataType: data.dataType }];
  }
  const dims = [...indices.shape.slice(0, -1), ...data.shape.slice(batch + depth)];
  return [{ dataType: data.dataType, shape: dims }];
};

const pad: OpSpec['infer'] = (node, [input = UNKNOWN, padsInput, , axesInput]) => {
  const from = input.shape;
  const pads = intsAttribute(node, 'pads') ?? padsInput?.elements;
  if (from === undefined || pads === undefined) {
    return [{ dataType: input.dataType, shape: from?.map(() => undefined) }];
  }
  const axes = numbersOf(axesInput) ?? from.map((_, axis) => axis);
  const dims = [...from];
  axes.forEach((signedAxis, at) => {
    const axis = positiveAxis(signedAxis, from.length);
    dims[axis] = addDims(addDims(from[axis], pads[at]), pads[at + axes.length]);
  });
  return [{ dataType: input.dataType, shape: dims }];
};

const resize: OpSpec['infer'] = (_node, [input = UNKNOWN, , scales, sizes]) => {
  const wanted = sizes?.elements;
  const factors = numbersOf(scales);
  const dims = input.shape?.map((dim, axis) => {
    if (wanted?.length === input.shape?.length) return wanted?.[axis];
    const factor = factors?.[axis];
    return typeof dim === 'number' && factor !== undefined ? Math.floor(dim * factor) : undefined;
  });
  return [{ dataType: input.dataType, shape: dims }];
};

const depthToSpace: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  const block = intAttribute(node, 'blocksize', 1);
  const [n, c, h, w] = input.shape ?? [];
  if (input.shape?.length !== 4) return [{ dataType: input.dataType }];
  const shape =
    node.opType === 'DepthToSpace'
      ? [n, divideDims(c, block * block), multiplyDims(h, block), multiplyDims(w, block)]
      : [n, multiplyDims(c, block * block), divideDims(h, block), divideDims(w, block)];
  return [{ dataType: input.dataType, shape }];
};

const oneHot: OpSpec['infer'] = (node, [indices = UNKNOWN, depth, values]) => {
  if (indices.shape === undefined) return [{ dataType: values?.dataType }];
  const axis = positiveAxis(intAttribute(node, 'axis', -1), indices.shape.length + 1);
  const shape = indices.shape.toSpliced(axis, 0, scalarOf(depth));
  return [{ dataType: values?.dataType, shape }];
};

/** Operators that rearrange elements. */
export const REARRANGE: readonly OpSpec[] = [
  { opType: 'Transpose', domain: '', infer: transpose },
  { opType: 'Concat', domain: '', infer: concat },
  { opType: 'Split', domain: '', infer: split },
  { opType: 'Slice', domain: '', infer: slice },
  { opType: 'Gather', domain: '', infer: gather },
  { opType: 'GatherElements', domain: '', infer: gatherElements },
  { opType: 'GatherND', domain: '', infer: gatherND },
  { opType: 'Pad', domain: '', infer: pad },
  { opType: 'Resize', domain: '', infer: resize },
  { opType: 'DepthToSpace', domain: '', infer: depthToSpace },
  { opType: 'SpaceToDepth', domain: '', infer: depthToSpace },
  { opType: 'OneHot', domain: '', infer: oneHot },
];
