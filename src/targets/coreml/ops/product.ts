/** Products: linear layers with constant weights, and products of two activations. */
import { floatAttribute, intAttribute } from '../../../ir/attributes.ts';
import { inlineSource, type Tensor } from '../../../ir/tensor.ts';
import type { WeightKernel } from '../../../numerics/weight-kernel.ts';
import { quantizeWeight, scaleSource } from '../../../quantize/weights/quantized-weight.ts';
import type { LinearLayer } from '../../../structure/linear-layer.ts';
import type { Ref } from '../builder.ts';
import { convertConstant, turnedSource } from '../convert-constant.ts';
import {
  floatOf,
  type Lowering,
  type LowerNode,
  lowerTo,
  NotLowered,
  read,
  reshaped,
} from '../lowering.ts';
import { vector } from './normalize.ts';

/** Which layers get INT8 weights, and what rounds them. */
export interface Int8Weights {
  /** Names of the layers. */
  readonly layers: ReadonlySet<string>;
  readonly kernel: WeightKernel;
}

/** Says whether a recognised layer is a plain `x W + b`, so that it becomes one `linear`. */
export function isPlainLinear({ node }: LinearLayer): boolean {
  if (node.opType === 'MatMul') return true;
  return (
    node.opType === 'Gemm' &&
    floatAttribute(node, 'alpha', 1) === 1 &&
    floatAttribute(node, 'beta', 1) === 1 &&
    intAttribute(node, 'transA', 0) === 0
  );
}

/** Emits a linear layer. Inputs of more than three axes are flattened around it: `linear` is documented up to rank 3. */
export function lowerLinear(
  lowering: Lowering,
  layer: LinearLayer,
  int8: Int8Weights | undefined,
): void {
  const { builder, values } = lowering;
  const { tensor, initializer, outputAxis, path } = layer.weight;
  if (tensor.dims.length !== 2 || path.some(({ opType }) => opType === 'DequantizeLinear'))
    throw new NotLowered('has a weight that is quantized already');
  const x = read(lowering, layer.input);
  const dims = x.type.dims.map(Number);

  const isInt8 = int8?.layers.has(layer.name) === true;
  // Layers that share a weight share its constant, unless only one of them is quantized.
  const key = `linear weight ${tensor.source.key ?? initializer} ${outputAxis} ${isInt8}`;
  const weight =
    lowering.constants.get(key) ??
    (isInt8
      ? int8Weight(lowering, layer, int8.kernel)
      : builder.constant(
          initializer,
          convertConstant(tensor, 'fp16', builder.specification, outputAxis === 1),
        ));
  lowering.constants.set(key, weight);
  const bias =
    layer.bias === undefined
      ? vector(lowering, layer.outFeatures, 0)
      : biasOf(lowering, layer.bias.tensor, layer.bias.initializer);
  const flat =
    dims.length <= 3
      ? x
      : reshaped(
          lowering,
          x,
          [dims.slice(0, -1).reduce((a, b) => a * b, 1), dims.at(-1)!],
          `${layer.output}_flat`,
        );
  const product = builder.emit('linear', layer.output, { x: flat, weight, bias });
  values.set(
    layer.output,
    reshaped(lowering, product, [...dims.slice(0, -1), layer.outFeatures], layer.output),
  );
}

function biasOf({ builder }: Lowering, tensor: Tensor, name: string): Ref {
  const count = tensor.dims.reduce((product, dim) => product * dim, 1);
  return builder.constant(
    name,
    convertConstant({ ...tensor, dims: [count] }, 'fp16', builder.specification),
  );
}

/** INT8 with one scale for each output channel, symmetric: integers are chosen with the scale as fp16 holds it. */
function int8Weight({ builder }: Lowering, layer: LinearLayer, kernel: WeightKernel): Ref {
  const { tensor, initializer, outputAxis } = layer.weight;
  const quantized = quantizeWeight(
    tensor,
    outputAxis,
    { scaleType: 'float16', isPairSafe: false },
    kernel,
  );
  const [rows = 1, columns = 1] = tensor.dims;
  const source =
    outputAxis === 0
      ? quantized.values
      : turnedSource(quantized.values, { rows, columns, width: 1 });
  const dims = [layer.outFeatures, layer.inFeatures];
  const constant = (
    dataType: 'int8' | 'fp16',
    shape: readonly number[],
    bytes: typeof source,
  ): Ref => {
    const type = { dataType, dims: shape };
    return { name: '', type, value: { type, data: { kind: 'blob', source: bytes } } };
  };
  const scales = scaleSource(quantized, 'float16');
  const data = constant('int8', dims, source);
  if (builder.specification >= 9) {
    return builder.emit('constexpr_blockwise_shift_scale', initializer, {
      data,
      scale: constant('fp16', [layer.outFeatures, 1], scales),
    });
  }
  const zeros = constant(
    'int8',
    [layer.outFeatures],
    inlineSource(new Uint8Array(layer.outFeatures)),
  );
  return builder.emit('constexpr_affine_dequantize', initializer, {
    quantized_data: data,
    zero_point: zeros,
    scale: constant('fp16', [layer.outFeatures], scales),
    axis: 0,
  });
}

const lowerMatMul: LowerNode = (lowering, node) => {
  const float = floatOf(lowering, node);
  lowerTo(lowering, node, 'matmul', {
    x: read(lowering, node.inputs[0]!, float),
    y: read(lowering, node.inputs[1]!, float),
  });
};

/** Rows by ONNX operator. */
export const PRODUCT: Readonly<Record<string, LowerNode>> = { MatMul: lowerMatMul };
