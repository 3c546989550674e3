import { attributes } from '../../ir/attributes.ts';
import { dataTypeCode } from '../../ir/data-type.ts';
import type { Node } from '../../ir/model.ts';
import { addConstant, insertBefore } from '../../ir/rewrite.ts';
import { scaleSource } from '../../quantize/weights/quantized-weight.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { addZeroPoints, makeNode, storeWeight, type WriteContext } from './write-context.ts';
import { retireWeight } from './write-linear.ts';

/** Outputs of a DynamicQuantizeLinear. */
interface DynamicInput {
  readonly integers: string;
  readonly scale: string;
  readonly zeroPoint: string;
}

/**
 * Writes one layer with an activation quantized by its extremes in each run:
 * `Cast(MatMulInteger(q(x), W)) * (scale of x * scales of W)`, which onnxruntime fuses to
 * MatMulIntegerToFloat where layers share an input, else to DynamicQuantizeMatMul. All readers of a
 * value share one DynamicQuantizeLinear. Activations are float32.
 */
export function writeDynamicLinear(context: WriteContext, layer: LinearLayer): void {
  const { rewrite } = context;
  const { name, node, weight } = layer;
  const output = node.outputs[0]!;
  const fresh = (suffix: string): string => rewrite.freshName(`${output}_${suffix}`);
  const input = dynamicInput(context, node, node.inputs[0]!);
  const { initializer, tensor, outputAxis } = weight;
  const turns = outputAxis === 0;
  const stored = storeWeight(context, initializer, tensor, outputAxis, 'float32', turns);
  const { channels } = stored.quantized;
  const scales = addConstant(rewrite, {
    name: `${initializer}_scale`,
    dataType: 'float32',
    dims: [channels],
    source: scaleSource(stored.quantized, 'float32'),
  });
  const bias = node.opType === 'Gemm' ? (node.inputs[2] ?? '') : '';
  const [sum, widened, factors] = [fresh('integers'), fresh('widened'), fresh('scales')];
  const product = bias === '' ? output : fresh('product');
  const integerInputs = [input.integers, stored.initializer, input.zeroPoint];
  rewrite.instead.set(node, [
    makeNode('Mul', [input.scale, scales], factors),
    {
      ...node,
      name: context.nodeNames.get(name) ?? node.name,
      opType: 'MatMulInteger',
      attributes: attributes({}),
      inputs: [...integerInputs, addZeroPoints(context, initializer, stored)],
      outputs: [sum],
    },
    makeNode('Cast', [sum], widened, { to: BigInt(dataTypeCode('float32')) }),
    makeNode('Mul', [widened, factors], product),
    ...(bias === '' ? [] : [makeNode('Add', [product, bias], output)]),
  ]);
  retireWeight(rewrite, layer);
}

function dynamicInput(context: WriteContext, reader: Node, value: string): DynamicInput {
  const { rewrite, placeOf, dynamicActivations } = context;
  const key = `${value}|${placeOf(reader)}`;
  const known = dynamicActivations.get(key);
  if (known !== undefined) return known;
  const made: DynamicInput = {
    integers: rewrite.freshName(`${value}_quantized`),
    scale: rewrite.freshName(`${value}_scale`),
    zeroPoint: rewrite.freshName(`${value}_zero_point`),
  };
  const { integers, scale, zeroPoint } = made;
  const quantize = makeNode('DynamicQuantizeLinear', [value], integers);
  insertBefore(rewrite, reader, [{ ...quantize, outputs: [integers, scale, zeroPoint] }]);
  dynamicActivations.set(key, made);
  return made;
}
