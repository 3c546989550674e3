import { attributes } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import type { ScaleType } from '../numerics/affine.ts';
import type { LinearLayer } from '../passes/linear-layer.ts';
import { typeAfter } from './layer-limits.ts';
import type { LinearForm, PlannedActivation } from './quantization-plan.ts';
import { scaleSource } from './quantized-weight.ts';
import { addConstant } from './rewrite.ts';
import {
  addZeroPoints,
  makeNode,
  quantizedInput,
  storeWeight,
  type WriteContext,
} from './write-context.ts';

/**
 * Writes one layer: its INT8 weight, its quantized input where there is one, and the product, whose
 * output keeps its name and float type.
 */
export function writeLinear(
  context: WriteContext,
  layer: LinearLayer,
  form: Exclude<LinearForm, 'float'>,
  activation: PlannedActivation | undefined,
): void {
  const { rewrite, lowering } = context;
  const { node, weight } = layer;
  const float = typeAfter(weight.tensor.dataType, weight.path) as ScaleType;
  const value = node.inputs[0]!;
  const input =
    activation === undefined ? value : quantizedInput(context, node, value, activation, float);
  const isGemm = lowering.shapedFor === 'tensorrt' ? node.opType === 'Gemm' : form === 'QGemm';
  const dequantized = dequantizeWeight(context, layer, float, isGemm);
  rewrite.instead.set(node, [
    ...dequantized.nodes,
    ...product(context, layer, input, dequantized.value, isGemm),
  ]);
  rewrite.perhapsUnused.add(weight.initializer);
  for (const step of weight.path) rewrite.perhapsUnused.add(step.outputs[0]!);
}

/** A Gemm reads either layout; a MatMul needs [in, out], by a Transpose or by storing it so. */
function dequantizeWeight(
  context: WriteContext,
  { weight }: LinearLayer,
  float: ScaleType,
  isGemm: boolean,
): { readonly nodes: readonly Node[]; readonly value: string } {
  const { rewrite, lowering } = context;
  const { tensor, initializer, outputAxis } = weight;
  const turns = !isGemm && outputAxis === 0;
  const stores = turns && lowering.shapedFor === 'tensorrt';
  const stored = storeWeight(context, initializer, tensor, outputAxis, float, stores);
  // onnxruntime leaves layers that share one scale tensor unfused, so each has its own.
  const scales = addConstant(rewrite, {
    name: `${initializer}_scale`,
    dataType: float,
    dims: [stored.quantized.channels],
    source: scaleSource(stored.quantized, float),
  });
  const zeros = addZeroPoints(context, initializer, stored);
  const output = rewrite.freshName(`${initializer}_dequantized`);
  const axis = BigInt(stores ? 1 : outputAxis);
  const inputs = [stored.initializer, scales, zeros];
  const dequantize = makeNode('DequantizeLinear', inputs, output, { axis });
  if (!turns || stores) return { nodes: [dequantize], value: output };
  const turned = rewrite.freshName(`${initializer}_transposed`);
  const transpose = makeNode('Transpose', [output], turned, { perm: [1n, 0n] });
  return { nodes: [dequantize, transpose], value: turned };
}

/** The product node keeps name and metadata; onnxruntime wants the bias of a Gemm as an Add behind it. */
function product(
  context: WriteContext,
  { name, node, weight }: LinearLayer,
  input: string,
  weightValue: string,
  isGemm: boolean,
): readonly Node[] {
  const { rewrite, lowering, nodeNames } = context;
  const output = node.outputs[0]!;
  const bias = node.opType === 'Gemm' ? (node.inputs[2] ?? '') : '';
  const transB = weight.outputAxis === 0 ? { transB: 1n } : {};
  const shape = {
    name: nodeNames.get(name) ?? node.name,
    opType: isGemm ? 'Gemm' : 'MatMul',
    attributes: attributes(isGemm ? transB : {}),
  };
  if (bias === '') return [{ ...node, ...shape, inputs: [input, weightValue] }];
  if (isGemm && lowering.shapedFor === 'tensorrt') {
    return [{ ...node, ...shape, inputs: [input, weightValue, bias] }];
  }
  const sum = rewrite.freshName(`${output}_product`);
  return [
    { ...node, ...shape, inputs: [input, weightValue], outputs: [sum] },
    makeNode('Add', [sum, bias], output),
  ];
}
