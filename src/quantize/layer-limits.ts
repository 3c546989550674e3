import { floatAttribute, intAttribute } from '../ir/attributes.ts';
import { type DataType, dataTypeFromCode, isFloatDataType } from '../ir/data-type.ts';
import type { Node } from '../ir/model.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';

/** Below this many input or output features integer kernels cost more than they save. */
const MIN_FEATURES = 16;

const PATH_OPS: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Transpose']);

/** Returns why a layer cannot be quantized at all, or undefined when it can. */
export function whyNotQuantizable(layer: LinearLayer): string | undefined {
  const { node, weight } = layer;
  if (node.opType !== 'MatMul' && node.opType !== 'Gemm') {
    return `${node.opType} with float output has no integer kernel in onnxruntime`;
  }
  if (weight.tensor.dims.length !== 2) return `weight has ${weight.tensor.dims.length} dimensions`;
  if (!isFloatDataType(weight.tensor.dataType) || weight.tensor.dataType === 'float64') {
    return `weight is ${weight.tensor.dataType}`;
  }
  if (layer.inFeatures < MIN_FEATURES) return `K < ${MIN_FEATURES}`;
  if (layer.outFeatures < MIN_FEATURES) return `N < ${MIN_FEATURES}`;
  const odd = weight.path.find((step) => !PATH_OPS.has(step.opType));
  if (odd !== undefined) return `weight is computed by ${odd.opType}`;
  const type = typeAfter(weight.tensor.dataType, weight.path);
  if (type !== 'float16' && type !== 'float32') return `activations are ${type}`;
  if (node.inputs[1] !== weight.value) return 'weight is the left factor';
  if (node.opType === 'Gemm') return whyNotGemm(layer);
  return undefined;
}

/** Returns the element type of a constant behind `path`: that of the last Cast, else its own. */
export function typeAfter(dataType: DataType, path: readonly Node[]): DataType {
  const cast = path.findLast((node) => node.opType === 'Cast');
  return cast === undefined ? dataType : dataTypeFromCode(intAttribute(cast, 'to', 0));
}

function whyNotGemm({ node }: LinearLayer): string | undefined {
  if (intAttribute(node, 'transA', 0) !== 0) return 'Gemm transposes its input';
  if (floatAttribute(node, 'alpha', 1) !== 1) return 'Gemm has alpha';
  const hasBias = (node.inputs[2] ?? '') !== '';
  if (hasBias && floatAttribute(node, 'beta', 1) !== 1) return 'Gemm has beta';
  return undefined;
}
