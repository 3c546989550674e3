import type { Node } from '../../ir/model.ts';
import { addConstant, insertBefore } from '../../ir/rewrite.ts';
import { inlineTensor } from '../../ir/tensor.ts';
import type { ScaleType } from '../../numerics/affine.ts';
import { residualPlane } from '../../numerics/planes.ts';
import { typeAfter } from '../../quantize/layer-limits.ts';
import type { LinearForm, PlannedActivation } from '../../quantize/quantization-plan.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { makeNode, quantizedInput, scalar, type WriteContext } from './write-context.ts';
import { dequantizeWeight, productNode, retireWeight } from './write-linear.ts';

/** Ends the name of the product with the residual plane, which the fusion audit looks for too. */
export const RESIDUAL_SUFFIX = '_residual';

/**
 * Writes one layer with its activation in two planes: `c W + DQ(Q(x - c)) W` with c = DQ(Q(x)), one INT8 weight for
 * both products, which onnxruntime fuses each. The product with the coarse plane keeps the layer's node name.
 */
export function writePlanes(
  context: WriteContext,
  layer: LinearLayer,
  form: LinearForm,
  activation: PlannedActivation,
): void {
  const { rewrite } = context;
  const { node, weight } = layer;
  const float = typeAfter(weight.tensor.dataType, weight.path) as ScaleType;
  const value = node.inputs[0]!;
  const coarse = quantizedInput(context, node, value, activation, float);
  const residual = residualInput(context, node, { value, coarse, activation, float });
  const isGemm = form === 'QGemm';
  const output = node.outputs[0]!;
  const bias = node.opType === 'Gemm' ? (node.inputs[2] ?? '') : '';
  const fresh = (part: string): string => rewrite.freshName(`${output}_${part}`);
  const sum = bias === '' ? output : fresh('planes');
  // Each product has a DequantizeLinear of its own: behind a shared Transpose onnxruntime fuses neither.
  const multiply = (plane: string, suffix: string, output: string): readonly Node[] => {
    const { nodes, value: turned } = dequantizeWeight(context, layer, float, isGemm);
    const product = productNode(context, layer, [plane, turned], isGemm);
    return [...nodes, { ...product, name: `${product.name}${suffix}`, outputs: [output] }];
  };
  const [first, second] = [fresh('coarse'), fresh('fine')];
  rewrite.instead.set(node, [
    ...multiply(coarse, '', first),
    ...multiply(residual, RESIDUAL_SUFFIX, second),
    makeNode('Add', [first, second], sum),
    ...(bias === '' ? [] : [makeNode('Add', [sum, bias], output)]),
  ]);
  retireWeight(rewrite, layer);
}

/** What a residual plane is made of. */
interface Planes {
  readonly value: string;
  /** The dequantized coarse plane. */
  readonly coarse: string;
  readonly activation: PlannedActivation;
  readonly float: ScaleType;
}

/** Returns the dequantized residual of a value, made before its first reader. */
function residualInput(
  { rewrite, placeOf, activations }: WriteContext,
  reader: Node,
  { value, coarse, activation, float }: Planes,
): string {
  const key = `${value}|residual|${float}|${placeOf(reader)}`;
  const known = activations.get(key);
  if (known !== undefined) return known;
  const { scale, zeroPoint } = residualPlane(activation);
  const scaleName = addConstant(rewrite, scalar(`${value}_residual_scale`, float, scale));
  const zeroName = addConstant(
    rewrite,
    inlineTensor(`${value}_residual_zero_point`, 'uint8', [], Uint8Array.of(zeroPoint)),
  );
  const [residual, integers, output] = [
    'residual',
    'residual_quantized',
    'residual_dequantized',
  ].map((part) => rewrite.freshName(`${value}_${part}`)) as [string, string, string];
  insertBefore(rewrite, reader, [
    makeNode('Sub', [value, coarse], residual),
    makeNode('QuantizeLinear', [residual, scaleName, zeroName], integers),
    makeNode('DequantizeLinear', [integers, scaleName, zeroName], output),
  ]);
  activations.set(key, output);
  return output;
}
