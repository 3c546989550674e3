/** Operators that move elements. Shapes are fixed, so most of them are one reshape. */
import { intAttribute, intsAttribute } from '../../../ir/attributes.ts';
import { numbersOf, positiveAxis } from '../../../ops/op-spec.ts';
import type { Ref } from '../builder.ts';
import {
  castTo,
  define,
  expanded,
  floatOf,
  integersOf,
  type Lowering,
  type LowerNode,
  lowerTo,
  NotLowered,
  read,
  reshaped,
  shapeOf,
} from '../lowering.ts';

const lowerReshape: LowerNode = (lowering, node) => {
  const output = node.outputs[0] ?? '';
  const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
  define(lowering, node, reshaped(lowering, x, shapeOf(lowering, output), output));
};

const lowerTranspose: LowerNode = (lowering, node) => {
  const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
  const perm =
    intsAttribute(node, 'perm') ?? x.type.dims.map((_, axis) => x.type.dims.length - 1 - axis);
  lowerTo(lowering, node, 'transpose', { x, perm });
};

const lowerConcat: LowerNode = (lowering, node) => {
  const rank = shapeOf(lowering, node.outputs[0]!).length;
  const full = node.inputs.filter((name) => !shapeOf(lowering, name).includes(0));
  const values = full.map((name) => read(lowering, name, floatOf(lowering, node)));
  if (values.length === 1) return define(lowering, node, values[0]!);
  lowerTo(lowering, node, 'concat', {
    values,
    axis: positiveAxis(intAttribute(node, 'axis', 0), rank),
  });
};

const lowerSplit: LowerNode = (lowering, node) => {
  const shape = shapeOf(lowering, node.inputs[0]!);
  const axis = positiveAxis(intAttribute(node, 'axis', 0), shape.length);
  const sizes = node.outputs.map((name) => shapeOf(lowering, name)[axis] ?? 0);
  const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
  const parts = lowering.builder.emitAll('split', node.outputs, { x, split_sizes: sizes, axis });
  for (const [index, part] of parts.entries()) define(lowering, node, part, index);
};

const lowerSlice: LowerNode = (lowering, node) => {
  const shape = shapeOf(lowering, node.inputs[0]!);
  const output = shapeOf(lowering, node.outputs[0]!);
  const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
  if (
    `${shape}` === `${output}` &&
    !(node.inputs[4] !== undefined && integersOf(lowering, node.inputs[4]).some((step) => step < 0))
  )
    return define(lowering, node, x);
  const [starts, ends] = [
    integersOf(lowering, node.inputs[1]!),
    integersOf(lowering, node.inputs[2]!),
  ];
  const axes =
    optional(node.inputs[3])?.map((axis) => positiveAxis(axis, shape.length)) ??
    starts.map((_, axis) => axis);
  const steps = optional(node.inputs[4]) ?? starts.map(() => 1);
  function optional(name: string | undefined): readonly number[] | undefined {
    return name === undefined || name === '' ? undefined : integersOf(lowering, name);
  }
  if (steps.some((step) => step < 1)) throw new NotLowered('slices backwards');
  const place = (axis: number): number => axes.indexOf(axis);
  const clamp = (value: number, dim: number): number =>
    Math.min(Math.max(value < 0 ? value + dim : value, 0), dim);
  const mask = (axis: number): boolean => place(axis) < 0;
  lowerTo(lowering, node, 'slice_by_index', {
    x,
    begin: shape.map((dim, axis) => (mask(axis) ? 0 : clamp(starts[place(axis)]!, dim))),
    end: shape.map((dim, axis) => (mask(axis) ? dim : clamp(ends[place(axis)]!, dim))),
    stride: shape.map((_, axis) => (mask(axis) ? 1 : steps[place(axis)]!)),
    begin_mask: shape.map((_, axis) => mask(axis)),
    end_mask: shape.map((_, axis) => mask(axis)),
    squeeze_mask: shape.map(() => false),
  });
};

const lowerExpand: LowerNode = (lowering, node) => {
  const output = node.outputs[0] ?? '';
  const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
  define(lowering, node, expanded(lowering, x, shapeOf(lowering, output), output));
};

const lowerTile: LowerNode = (lowering, node) =>
  lowerTo(lowering, node, 'tile', {
    x: read(lowering, node.inputs[0]!, floatOf(lowering, node)),
    reps: integersOf(lowering, node.inputs[1]!),
  });

/** Core ML leaves negative indices undefined from iOS 17 on: constant ones count from the start. */
function positiveIndices(lowering: Lowering, indices: string, size: number): Ref {
  const { view, builder } = lowering;
  const numbers = numbersOf(view.facts(indices));
  if (numbers === undefined || numbers.every((index) => index >= 0)) return read(lowering, indices);
  const dims = (view.facts(indices).shape ?? []).map(Number);
  const values = numbers.map((index) => positiveAxis(index, size));
  const data = { kind: 'numbers', numbers: values } as const;
  return builder.constant(indices, { type: { dataType: 'int32', dims }, data });
}

/** One constant index is a slice; several are looked up. MIL looks up no bool. */
const lowerGather: LowerNode = (lowering, node) => {
  const [data = '', indices = ''] = node.inputs;
  const shape = shapeOf(lowering, data);
  const axis = positiveAxis(intAttribute(node, 'axis', 0), shape.length);
  const output = node.outputs[0] ?? '';
  const index = lowering.view.scalar(indices);
  const x = read(lowering, data, floatOf(lowering, node));
  if (index !== undefined && shapeOf(lowering, indices).length === 0 && shape.length > 1) {
    const at = positiveAxis(index, shape[axis] ?? 0);
    const only = (value: number, otherwise: readonly number[]): readonly number[] =>
      otherwise.map((one, place) => (place === axis ? value : one));
    const masks = shape.map((_, place) => place !== axis);
    return lowerTo(lowering, node, 'slice_by_index', {
      x,
      begin: only(
        at,
        shape.map(() => 0),
      ),
      end: only(at + 1, shape),
      stride: shape.map(() => 1),
      begin_mask: masks,
      end_mask: masks,
      squeeze_mask: masks.map((one) => !one),
    });
  }
  const isBool = x.type.dataType === 'bool';
  const found = lowering.builder.emit('gather', output, {
    x: isBool ? castTo(lowering, x, 'int32') : x,
    indices: positiveIndices(lowering, indices, shape[axis] ?? 0),
    axis,
  });
  define(lowering, node, isBool ? castTo(lowering, found, 'bool') : found);
};

const lowerGatherNd: LowerNode = (lowering, node) => {
  if (intAttribute(node, 'batch_dims', 0) !== 0) throw new NotLowered('has batch_dims');
  const x = read(lowering, node.inputs[0]!);
  const isBool = x.type.dataType === 'bool';
  const found = lowering.builder.emit('gather_nd', node.outputs[0]!, {
    x: isBool ? castTo(lowering, x, 'int32') : x,
    indices: read(lowering, node.inputs[1]!),
  });
  define(lowering, node, isBool ? castTo(lowering, found, 'bool') : found);
};

/** Rows by ONNX operator. */
export const REARRANGE: Readonly<Record<string, LowerNode>> = {
  Reshape: lowerReshape,
  Flatten: lowerReshape,
  Squeeze: lowerReshape,
  Unsqueeze: lowerReshape,
  Transpose: lowerTranspose,
  Concat: lowerConcat,
  Split: lowerSplit,
  Slice: lowerSlice,
  Expand: lowerExpand,
  Tile: lowerTile,
  Gather: lowerGather,
  GatherND: lowerGatherNd,
};
