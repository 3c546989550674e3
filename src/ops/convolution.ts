/** Convolutions and pooling over `[batch, channels, spatial...]`. */
import { intAttribute, intsAttribute, stringAttribute } from '../ir/attributes.ts';
import type { Dim, Node } from '../ir/model.ts';
import { isStatic, multiplyDims } from './dim.ts';
import { type Facts, type OpSpec, specs, UNKNOWN } from './op-spec.ts';

/** Spatial output sizes of a window that slides over the input (ONNX Conv, floor or ceil mode). */
function windowDims(node: Node, spatial: readonly Dim[], kernel: readonly Dim[]): readonly Dim[] {
  const strides = intsAttribute(node, 'strides');
  const dilations = intsAttribute(node, 'dilations');
  const pads = intsAttribute(node, 'pads');
  const autoPad = stringAttribute(node, 'auto_pad') ?? 'NOTSET';
  const round = intAttribute(node, 'ceil_mode', 0) === 1 ? Math.ceil : Math.floor;
  return spatial.map((dim, axis) => {
    const size = kernel[axis];
    const stride = strides?.[axis] ?? 1;
    if (typeof dim !== 'number' || typeof size !== 'number') return undefined;
    if (autoPad.startsWith('SAME')) return Math.ceil(dim / stride);
    const padding = (pads?.[axis] ?? 0) + (pads?.[axis + spatial.length] ?? 0);
    const window = (size - 1) * (dilations?.[axis] ?? 1) + 1;
    return round((dim + (autoPad === 'VALID' ? 0 : padding) - window) / stride) + 1;
  });
}

function convShape(node: Node, input: Facts, weight: Facts): readonly Dim[] | undefined {
  if (input.shape === undefined || weight.shape === undefined) return undefined;
  const kernel = intsAttribute(node, 'kernel_shape') ?? weight.shape.slice(2);
  return [input.shape[0], weight.shape[0], ...windowDims(node, input.shape.slice(2), kernel)];
}

const conv: OpSpec = {
  opType: 'Conv',
  domain: '',
  infer: (node, [input = UNKNOWN, weight = UNKNOWN]) => [
    { dataType: input.dataType ?? weight.dataType, shape: convShape(node, input, weight) },
  ],
  weight: { input: 1, outputAxis: () => 0 },
  macs: (_node, [, weight], [output]) => {
    if (!isStatic(output?.shape) || !isStatic(weight?.shape)) return undefined;
    const perOutput = weight.shape.slice(1).reduce((product, dim) => product * dim, 1);
    return output.shape.reduce((product, dim) => product * dim, perOutput);
  },
};

const convInteger: OpSpec['infer'] = (node, [input = UNKNOWN, weight = UNKNOWN]) => [
  { dataType: 'int32', shape: convShape(node, input, weight) },
];

const convTranspose: OpSpec['infer'] = (node, [input = UNKNOWN, weight = UNKNOWN]) => {
  const group = intAttribute(node, 'group', 1);
  const channels = multiplyDims(weight.shape?.[1], group);
  const shape = input.shape?.map((dim, axis) =>
    axis === 0 ? dim : axis === 1 ? channels : undefined,
  );
  return [{ dataType: input.dataType, shape }];
};

const pool: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  const kernel = intsAttribute(node, 'kernel_shape') ?? [];
  const { dataType, shape } = input;
  if (shape === undefined) return [{ dataType }];
  const dims = [...shape.slice(0, 2), ...windowDims(node, shape.slice(2), kernel)];
  return [
    { dataType, shape: dims },
    { dataType: 'int64', shape: dims },
  ];
};

const globalPool: OpSpec['infer'] = (_node, [input = UNKNOWN]) => [
  { dataType: input.dataType, shape: input.shape?.map((dim, axis) => (axis < 2 ? dim : 1)) },
];

/** Convolution and pooling operators. */
export const CONVOLUTION: readonly OpSpec[] = [
  conv,
  ...specs(['ConvInteger'], convInteger),
  ...specs(['ConvTranspose'], convTranspose),
  ...specs(['MaxPool', 'AveragePool', 'LpPool'], pool),
  ...specs(['GlobalAveragePool', 'GlobalMaxPool'], globalPool),
];
