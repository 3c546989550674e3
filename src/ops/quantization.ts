/** Quantizing and dequantizing operators, and ONNX's and onnxruntime's integer layers. */
import { intAttribute } from '../ir/attributes.ts';
import { type DataType, dataTypeFromCode } from '../ir/data-type.ts';
import type { Node } from '../ir/model.ts';
import { multiplyDims } from './dim.ts';
import { matMulShape } from './matmul.ts';
import { type OpSpec, specs, UNKNOWN } from './op-spec.ts';

function outputType(node: Node): DataType | undefined {
  const code = intAttribute(node, 'output_dtype', 0);
  return code === 0 ? undefined : dataTypeFromCode(code);
}

const quantizeLinear: OpSpec['infer'] = (node, [input = UNKNOWN, , zeroPoint]) => [
  { dataType: zeroPoint?.dataType ?? outputType(node) ?? 'uint8', shape: input.shape },
];

const dequantizeLinear: OpSpec['infer'] = (node, [input = UNKNOWN, scale]) => [
  { dataType: outputType(node) ?? scale?.dataType, shape: input.shape },
];

const dynamicQuantizeLinear: OpSpec['infer'] = (_node, [input = UNKNOWN]) => [
  { dataType: 'uint8', shape: input.shape },
  { dataType: 'float32', shape: [] },
  { dataType: 'uint8', shape: [] },
];

const qLinearMatMul: OpSpec['infer'] = (_node, inputs) => [
  { dataType: inputs[7]?.dataType, shape: matMulShape(inputs[0]?.shape, inputs[3]?.shape) },
];

/** com.microsoft `GatherBlockQuantized`: 4-bit rows hold two values a byte when stored as uint8. */
const gatherBlockQuantized: OpSpec['infer'] = (
  node,
  [data = UNKNOWN, indices = UNKNOWN, scales],
) => {
  const bits = intAttribute(node, 'bits', 4);
  const perByte = data.dataType === 'uint8' ? 8 / bits : 1;
  const width = multiplyDims(data.shape?.at(-1), perByte);
  const shape = indices.shape === undefined ? undefined : [...indices.shape, width];
  return [{ dataType: scales?.dataType, shape }];
};

/** Quantization operators. */
export const QUANTIZATION: readonly OpSpec[] = [
  ...specs(['QuantizeLinear'], quantizeLinear),
  ...specs(['DequantizeLinear'], dequantizeLinear),
  ...specs(['QuantizeLinear'], quantizeLinear, 'com.microsoft'),
  ...specs(['DequantizeLinear'], dequantizeLinear, 'com.microsoft'),
  ...specs(['DynamicQuantizeLinear'], dynamicQuantizeLinear),
  ...specs(['QLinearMatMul'], qLinearMatMul),
  ...specs(['GatherBlockQuantized'], gatherBlockQuantized, 'com.microsoft'),
];
