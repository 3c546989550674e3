import { attributes } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import { addConstant, insertBefore, type Rewrite } from '../../ir/rewrite.ts';
import { inlineTensor, type Tensor } from '../../ir/tensor.ts';
import { chooseScale, type ScaleType } from '../../numerics/affine.ts';
import { float32ToFloat16 } from '../../numerics/float16.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import type { PlannedActivation } from '../../quantize/quantization-plan.ts';
import type { QuantizeBlocks } from '../../quantize/weights/blocked-weight.ts';
import type { RoundWeight } from '../../quantize/weights/gptq-weight.ts';
import {
  gridKey,
  offsetBinary,
  type QuantizedWeight,
  quantizeWeight,
  transposedSource,
} from '../../quantize/weights/quantized-weight.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import type { Lowering } from './lowering.ts';
import type { ProductSurroundings } from './product-form.ts';

/** What the writers of one model share. */
export interface WriteContext {
  readonly rewrite: Rewrite;
  /** The graph that a node lies in, by name: a Q/DQ pair serves the readers of one graph, or nothing fuses. */
  readonly placeOf: (node: Node) => string;
  readonly lowering: Lowering;
  readonly kernel: WeightKernel;
  readonly quantizeBlocks: QuantizeBlocks;
  /** Names of product nodes by layer, as planned: the fusion audit finds layers by them. */
  readonly nodeNames: ReadonlyMap<string, string>;
  readonly surroundings: ProductSurroundings;
  /** DequantizeLinear outputs by activation, plane and type: all readers of a value share one pair. */
  readonly activations: Map<string, string>;
  /** Outputs of the DynamicQuantizeLinear of each activation that has one. */
  readonly dynamicActivations: Map<
    string,
    { readonly integers: string; readonly scale: string; readonly zeroPoint: string }
  >;
  /** Constants that are multiplied by INT8 activations; all their readers share one form. */
  readonly integerProducts: ReadonlySet<string>;
  /** Layers whose INT8 weights are rounded by output error, by constant: it has no other reader. */
  readonly rounded: ReadonlyMap<string, LinearLayer>;
  readonly round: RoundWeight | undefined;
  /** INT8 weights by constant and layout: tied layers share the bytes. */
  readonly weights: Map<string, StoredWeight>;
  /** The same for weights in blocks. */
  readonly blockedWeights: Map<string, StoredBlocks>;
}

/** Names of the constants of a weight in blocks. */
export interface StoredBlocks {
  /** uint8 [out, blocks, blockSize], zero at 128. */
  readonly integers: string;
  /** float32 [out, blocks]. */
  readonly scales: string;
}

/** An INT8 constant in the graph. */
export interface StoredWeight {
  readonly initializer: string;
  /** uint8 integers have 128 for zero, int8 ones 0. */
  readonly dataType: 'int8' | 'uint8';
  readonly quantized: QuantizedWeight;
}

/** Returns the type to which scales next to values of type `float` are rounded. */
function scaleTypeFor(lowering: Lowering, float: ScaleType): ScaleType {
  return lowering.scaleType === 'activations' ? float : lowering.scaleType;
}

/** Returns a node with one output; it is named after that when the rewrite is finished. */
export function makeNode(
  opType: string,
  inputs: readonly string[],
  output: string,
  literals: Parameters<typeof attributes>[0] = {},
): Node {
  return {
    name: '',
    opType,
    domain: '',
    inputs,
    outputs: [output],
    attributes: attributes(literals),
  };
}

/**
 * Returns the INT8 constant for a weight matrix, made on first use. With `transposed` its rows are
 * the columns of the float weight; `axis` is the channel axis of the float weight in either case.
 */
export function storeWeight(
  context: WriteContext,
  initializer: string,
  tensor: Tensor,
  axis: number,
  float: ScaleType,
  transposed = false,
): StoredWeight {
  const { rewrite, lowering, kernel, weights, integerProducts } = context;
  const form = integerProducts.has(initializer) ? lowering.productWeights : 'full';
  const grid = {
    scaleType: scaleTypeFor(lowering, float),
    isPairSafe: form === 'pair-safe',
  };
  const key = `${initializer}|${axis}|${gridKey(grid)}|${transposed}`;
  const known = weights.get(key);
  if (known !== undefined) return known;
  const nearest = quantizeWeight(tensor, axis, grid, kernel);
  const layer = context.rounded.get(initializer);
  const quantized =
    layer === undefined ? nearest : (context.round?.(layer, nearest, grid.isPairSafe) ?? nearest);
  const [rows, columns] = tensor.dims as readonly [number, number];
  const turned = transposed ? transposedSource(quantized.values, rows, columns) : quantized.values;
  const dataType = form === 'full-uint8' ? 'uint8' : 'int8';
  const source = dataType === 'uint8' ? offsetBinary(turned) : turned;
  const dims = transposed ? [columns, rows] : [rows, columns];
  const name = `${initializer}_quantized`;
  const stored = {
    initializer: addConstant(rewrite, { name, dataType, dims, source }),
    dataType,
    quantized,
  } as const;
  weights.set(key, stored);
  return stored;
}

/**
 * Adds the zero points of an INT8 weight, one per channel, and returns their name. onnxruntime fuses a
 * quantized Gemm and a transposed weight only when they are spelled out, and its
 * `session.x64quantprecision` loads no model in which two layers share them.
 */
export function addZeroPoints(
  { rewrite }: WriteContext,
  initializer: string,
  { dataType, quantized }: StoredWeight,
): string {
  const bytes = new Uint8Array(quantized.channels).fill(dataType === 'uint8' ? 128 : 0);
  const name = `${initializer}_zero_point`;
  return addConstant(rewrite, inlineTensor(name, dataType, [quantized.channels], bytes));
}

/** Returns the dequantized form of `value`, whose QuantizeLinear pair stands before its first reader. */
export function quantizedInput(
  context: WriteContext,
  reader: Node,
  value: string,
  planned: PlannedActivation,
  float: ScaleType,
): string {
  const { rewrite, placeOf, activations } = context;
  const key = `${value}|${float}|${placeOf(reader)}`;
  const known = activations.get(key);
  if (known !== undefined) return known;
  const { scale, zeroPoint, dataType } = activationParameters(context.lowering, planned, float);
  const scaleName = addConstant(rewrite, scalar(`${value}_scale`, float, scale));
  const zero = inlineTensor(`${value}_zero_point`, dataType, [], Uint8Array.of(zeroPoint));
  const zeroName = addConstant(rewrite, zero);
  const integers = rewrite.freshName(`${value}_quantized`);
  const output = rewrite.freshName(`${value}_dequantized`);
  insertBefore(rewrite, reader, [
    makeNode('QuantizeLinear', [value, scaleName, zeroName], integers),
    makeNode('DequantizeLinear', [integers, scaleName, zeroName], output),
  ]);
  activations.set(key, output);
  return output;
}

function activationParameters(
  lowering: Lowering,
  planned: PlannedActivation,
  float: ScaleType,
): { scale: number; zeroPoint: number; dataType: 'int8' | 'uint8' } {
  if (lowering.symmetric === 'recipe') return planned;
  const scaleType = scaleTypeFor(lowering, float);
  const { scale } = chooseScale(planned, { dataType: 'int8', symmetric: true, scaleType });
  // uint8 about 128 spans what int8 about 0 spans, so the integers are the same ones.
  return lowering.activationType === 'int8'
    ? { scale, zeroPoint: 0, dataType: 'int8' }
    : { scale, zeroPoint: 128, dataType: 'uint8' };
}

/** Returns a constant of rank 0 that holds a scale, rounded to its type. */
export function scalar(name: string, dataType: ScaleType, value: number): Tensor {
  const bytes = new Uint8Array(dataType === 'float16' ? 2 : 4);
  const view = new DataView(bytes.buffer);
  if (dataType === 'float16') view.setUint16(0, float32ToFloat16(value), true);
  else view.setFloat32(0, value, true);
  return inlineTensor(name, dataType, [], bytes);
}
