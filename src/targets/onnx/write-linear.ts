import { attributes } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import { addConstant, type Rewrite } from '../../ir/rewrite.ts';
import { inlineTensor } from '../../ir/tensor.ts';
import type { ScaleType } from '../../numerics/affine.ts';
import { typeAfter } from '../../quantize/layer-limits.ts';
import type { LinearForm, PlannedActivation } from '../../quantize/quantization-plan.ts';
import { scaleSource } from '../../quantize/weights/quantized-weight.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { chooseProductForm } from './product-form.ts';
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
  const isForTensorrt = lowering.shapedFor === 'tensorrt';
  const isGemm = isForTensorrt ? node.opType === 'Gemm' : form === 'QGemm';
  const dequantized = dequantizeWeight(context, layer, float, isGemm);
  const inputs = [input, dequantized.value];
  const nodes = isForTensorrt
    ? [productNode(context, layer, [...inputs, ...node.inputs.slice(2)], isGemm)]
    : productAndBias(context, layer, inputs, form);
  rewrite.instead.set(node, [...dequantized.nodes, ...nodes]);
  retireWeight(rewrite, layer);
}

/**
 * Returns the dequantized weight of a layer and the nodes that make it, which stand before its product. A Gemm reads
 * either layout; a MatMul needs [in, out], by a Transpose or by storing it so.
 */
export function dequantizeWeight(
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

/** Returns the product of two inputs as a node that keeps the name and metadata of the layer's. */
export function productNode(
  { nodeNames }: WriteContext,
  { name, node, weight }: LinearLayer,
  inputs: readonly string[],
  isGemm: boolean,
): Node {
  const transB = weight.outputAxis === 0 ? { transB: 1n } : {};
  return {
    ...node,
    name: nodeNames.get(name) ?? node.name,
    opType: isGemm ? 'Gemm' : 'MatMul',
    attributes: attributes(isGemm ? transB : {}),
    inputs,
  };
}

/** Lets the float weight of a layer go, and what led to its product, unless others read them. */
export function retireWeight(rewrite: Rewrite, { weight }: LinearLayer): void {
  rewrite.perhapsUnused.add(weight.initializer);
  for (const step of weight.path) rewrite.perhapsUnused.add(step.outputs[0]!);
}

/** The form that onnxruntime fuses: the bias of a Gemm is an Add behind it. */
function productAndBias(
  context: WriteContext,
  layer: LinearLayer,
  inputs: readonly string[],
  form: LinearForm,
): readonly Node[] {
  const { rewrite, surroundings } = context;
  const { node } = layer;
  const { isShielded, rowBias } = chooseProductForm(surroundings, layer, form);
  if (rowBias !== undefined) writeRowBias(context, layer, rowBias);
  const output = node.outputs[0]!;
  const bias = node.opType === 'Gemm' ? (node.inputs[2] ?? '') : '';
  const product = productNode(context, layer, inputs, form === 'QGemm');
  const made = isShielded || bias !== '' ? rewrite.freshName(`${output}_product`) : output;
  const nodes = [made === output ? product : { ...product, outputs: [made] }];
  const summand = isShielded && bias !== '' ? rewrite.freshName(`${output}_shielded`) : output;
  if (isShielded) nodes.push(makeNode('Sub', [made, zeroVector(context, layer)], summand));
  if (bias !== '') nodes.push(makeNode('Add', [isShielded ? summand : made, bias], output));
  return nodes;
}

function zeroVector({ rewrite }: WriteContext, { weight, outFeatures }: LinearLayer): string {
  const float = typeAfter(weight.tensor.dataType, weight.path);
  const bytes = new Uint8Array(outFeatures * (float === 'float16' ? 2 : 4));
  return addConstant(
    rewrite,
    inlineTensor(`${weight.initializer}_zeros`, float, [outFeatures], bytes),
  );
}

function writeRowBias({ rewrite }: WriteContext, { node, bias }: LinearLayer, add: Node): void {
  const { tensor, initializer } = bias!;
  const dims = [1, ...tensor.dims];
  const row = addConstant(rewrite, { ...tensor, name: `${initializer}_row`, dims });
  const inputs = add.inputs.map((name) => (name === node.outputs[0] ? name : row));
  rewrite.instead.set(add, [{ ...add, inputs }]);
  rewrite.perhapsUnused.add(initializer);
}
