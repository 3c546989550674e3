/** Products of two activations, and convolutions. */
import { DATA_FORMAT, DATA_TYPE } from '../../../formats/mnn/enums.ts';
import {
  floatAttribute,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from '../../../ir/attributes.ts';
import type { Dim, Node } from '../../../ir/model.ts';
import { elementCount, type Tensor } from '../../../ir/tensor.ts';
import {
  emit,
  type Lowering,
  type LowerNode,
  OTHER_TARGET,
  refuseNode,
  shapeOf,
} from '../lowering.ts';
import { sizesTensor } from '../sizes.ts';
import { float16Source, float32Source } from '../weight-sources.ts';
import { binary } from './elementwise.ts';
import { reduce } from './generate.ts';
import { addConvolution, type LinearWeight } from './linear.ts';

function first(node: Node): string {
  return node.outputs[0] ?? '';
}

/** Adds a product of two tensors; batch axes broadcast. */
export function matMul(
  lowering: Lowering,
  a: string,
  b: string,
  how: { readonly transposeA?: boolean; readonly transposeB?: boolean } = {},
  output: string = lowering.fresh(`${a}_product`),
): string {
  const value = { T: DATA_TYPE.float, ...how };
  return emit(lowering, 'MatMul', [a, b], output, { kind: 'MatMul', value });
}

const product: LowerNode = (lowering, node) => {
  const operands = [node.inputs[0] ?? '', node.inputs[1] ?? ''].map((name) => ({
    tensor: lowering.read(name),
    shape: shapeOf(lowering, node, name),
  }));
  if (operands.some(({ shape }) => shape.length < 2)) {
    refuseNode(node, 'an operand is a vector', 'Reshape it to a matrix in the model.');
  }
  const most = Math.max(...operands.map(({ shape }) => shape.length));
  const padded = operands.map(({ shape }) => [
    ...new Array<Dim>(most - shape.length).fill(1),
    ...shape,
  ]);
  const batch = padded[0]!.slice(0, -2).map((dim, axis) => (dim === 1 ? padded[1]![axis] : dim));
  const [left = '', right = ''] = operands.map(({ tensor, shape }, index) =>
    withBatch(lowering, node, { tensor, rank: shape.length, dims: padded[index]! }, batch),
  );
  matMul(lowering, left, right, {}, first(node));
};

/**
 * Returns an operand with all batch axes of the product. MNN keeps the loop over a product's batch from the
 * first run: when a later one broadcasts otherwise (a batch of 1 that becomes 2) it reads outside its tensors.
 */
function withBatch(
  lowering: Lowering,
  node: Node,
  operand: { readonly tensor: string; readonly rank: number; readonly dims: readonly Dim[] },
  batch: readonly Dim[],
): string {
  const { tensor, rank, dims } = operand;
  if (batch.every((dim, axis) => dims[axis] === dim)) {
    return rank === dims.length ? tensor : withLeadingAxes(lowering, tensor, dims.length - rank);
  }
  const wanted = [...batch, ...dims.slice(-2)];
  // Rows and columns stay as they are: in a broadcast 1 keeps a size.
  const sizes = sizesTensor(lowering, [...batch, 1, 1]) ?? sizesTensor(lowering, wanted);
  if (sizes === undefined) {
    refuseNode(
      node,
      'it broadcasts by sizes that are known in a run alone',
      'Use Expand in the model.',
    );
  }
  return emit(lowering, 'BroadcastTo', [tensor, sizes], lowering.fresh(`${tensor}_batch`));
}

function withLeadingAxes(lowering: Lowering, tensor: string, count: number): string {
  return emit(lowering, 'Unsqueeze', [tensor], lowering.fresh(`${tensor}_wide`), {
    kind: 'SqueezeParam',
    value: { squeezeDims: Array.from({ length: count }, (_, axis) => axis) },
  });
}

/** A Gemm that is no linear layer: `alpha A B + beta C`. */
const gemm: LowerNode = (lowering, node) => {
  const [a = '', b = '', c = ''] = node.inputs;
  const [alpha, beta] = [floatAttribute(node, 'alpha', 1), floatAttribute(node, 'beta', 1)];
  const how = {
    transposeA: intAttribute(node, 'transA', 0) === 1,
    transposeB: intAttribute(node, 'transB', 0) === 1,
  };
  const scaledBy = (tensor: string, factor: number): string =>
    factor === 1 ? tensor : binary(lowering, 'mul', [tensor, lowering.floatsOf([factor], [])]);
  const isLast = c === '' && alpha === 1;
  const made = matMul(
    lowering,
    lowering.read(a),
    lowering.read(b),
    how,
    isLast ? first(node) : undefined,
  );
  if (isLast) return;
  const scaled = scaledBy(made, alpha);
  if (c === '') lowering.alias(first(node), scaled);
  else binary(lowering, 'add', [scaled, scaledBy(lowering.read(c), beta)], first(node));
};

/** Windows of a convolution along height and width; 1-D ones have a width of 1. */
interface Windows {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** Top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number];
}

function windowsOf(node: Node, spatial: number, kernel: readonly number[]): Windows {
  const auto = stringAttribute(node, 'auto_pad') ?? 'NOTSET';
  if (auto !== 'NOTSET' && auto !== 'VALID' && auto !== '') {
    refuseNode(node, `auto_pad ${auto}`, 'Export the model with explicit pads.');
  }
  const pair = (name: string): readonly [number, number] => {
    const [y = 1, x = 1] = intsAttribute(node, name) ?? [];
    return [y, x];
  };
  const pads = auto === 'VALID' ? [] : (intsAttribute(node, 'pads') ?? []);
  const [top = 0, left = 0, bottom = 0, right = 0] =
    spatial === 1 ? [pads[0], 0, pads[1], 0] : pads;
  const [height = 1, width = 1] = kernel;
  return {
    kernel: [height, width],
    strides: pair('strides'),
    dilations: pair('dilations'),
    pads: [top, left, bottom, right],
  };
}

const convolution: LowerNode = (lowering, node) => {
  const [input = '', weightName = '', biasName = ''] = node.inputs;
  const spatial = shapeOf(lowering, node, input).length - 2;
  const weight = lowering.constant(weightName);
  const bias = biasName === '' ? undefined : lowering.constant(biasName);
  if (weight === undefined || (biasName !== '' && bias === undefined)) {
    return refuseNode(node, 'its weight is computed in each run', OTHER_TARGET);
  }
  if (spatial !== 1 && spatial !== 2) refuseNode(node, `${spatial} spatial axes`, OTHER_TARGET);
  const [outputs = 0, perGroup = 0, ...kernel] = weight.dims;
  const group = intAttribute(node, 'group', 1);
  const windows = windowsOf(node, spatial, kernel);
  const isDepthwise = group > 1 && group === outputs && perGroup === 1;
  const common = {
    kernelX: windows.kernel[1],
    kernelY: windows.kernel[0],
    strideX: windows.strides[1],
    strideY: windows.strides[0],
    dilateX: windows.dilations[1],
    dilateY: windows.dilations[0],
    padX: windows.pads[1],
    padY: windows.pads[0],
    pads: windows.pads,
    group,
    outputCount: outputs,
    inputCount: perGroup * group,
  };
  overPlanes(lowering, node, spatial, (packed, output) =>
    addConvolution(lowering, packed, {
      common,
      weight: convolutionWeight(weight, bias, lowering.floats),
      output,
      isDepthwise,
    }),
  );
};

function convolutionWeight(
  tensor: Tensor,
  bias: Tensor | undefined,
  floats: Lowering['floats'],
): LinearWeight {
  const isHalf = floats === 'float16' && tensor.dataType === 'float16';
  const values = isHalf
    ? { float: float16Source(tensor), storage: 'float16' as const }
    : { float: float32Source(tensor), storage: 'float32' as const };
  const [outFeatures = 0] = tensor.dims;
  const inFeatures = elementCount(tensor.dims) / outFeatures;
  return { inFeatures, outFeatures, values, bias: bias && float32Source(bias) };
}

/**
 * Adds what works on planes of channels by fours, between conversions. Tensors of one spatial axis get a width
 * of 1 and lose it again.
 */
function overPlanes(
  lowering: Lowering,
  node: Node,
  spatial: number,
  add: (packed: string, output: string) => string,
): void {
  const read = lowering.read(node.inputs[0] ?? '');
  const output = first(node);
  const squeezed = { kind: 'SqueezeParam', value: { squeezeDims: [3] } } as const;
  const planes =
    spatial === 1
      ? emit(lowering, 'Unsqueeze', [read], lowering.fresh(`${read}_planes`), squeezed)
      : read;
  const packed = emit(lowering, 'ConvertTensor', [planes], lowering.fresh(`${read}_packed`), {
    kind: 'TensorConvertInfo',
    value: { source: DATA_FORMAT.NCHW, dest: DATA_FORMAT.NC4HW4 },
  });
  const made = add(packed, lowering.fresh(`${output}_packed`));
  const last = spatial === 1 ? lowering.fresh(`${output}_planes`) : output;
  emit(lowering, 'ConvertTensor', [made], last, {
    kind: 'TensorConvertInfo',
    value: { source: DATA_FORMAT.NC4HW4, dest: DATA_FORMAT.NCHW },
  });
  if (spatial === 1) emit(lowering, 'Squeeze', [last], output, squeezed);
}

/** Means and maxima of whole planes. */
function globalRow(operation: 'mean' | 'maximum'): LowerNode {
  return (lowering, node) => {
    const [input = ''] = node.inputs;
    const rank = shapeOf(lowering, node, input).length;
    const axes = Array.from({ length: rank - 2 }, (_, at) => at + 2);
    const how = { axes, keepDims: true, kind: 'float' } as const;
    reduce(lowering, operation, lowering.read(input), how, first(node));
  };
}

/** Rows of products by op type. */
export const PRODUCTS: Readonly<Record<string, LowerNode>> = {
  Conv: convolution,
  Gemm: gemm,
  GlobalAveragePool: globalRow('mean'),
  GlobalMaxPool: globalRow('maximum'),
  MatMul: product,
};
