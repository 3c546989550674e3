import type { DataType } from '../../ir/data-type.ts';
import type { Node } from '../../ir/model.ts';
import { addConstant } from '../../ir/rewrite.ts';
import type { TensorSource } from '../../ir/tensor.ts';
import { int4BlockCount } from '../../numerics/int4-blocks.ts';
import type { Int4Weight, Int4Weights } from '../../quantize/weights/int4-weight.ts';
import type { Int4Settings } from '../../recipe/recipe.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { makeNode, type WriteContext } from './write-context.ts';
import { makeNbitsNode, replaceProduct } from './write-nbits.ts';

/** What 4-bit layers of one model share. */
export interface Int4Context {
  readonly settings: Int4Settings;
  readonly weights: Int4Weights;
  /** The inputs of all layers that read a weight, one for each layer, by {@link weightKey}. */
  readonly inputs: ReadonlyMap<string, readonly string[]>;
  /** Names of the constants of weights that are written already, by {@link weightKey}. */
  readonly stored: Map<string, readonly string[]>;
}

/** Returns what 4-bit writers of `layers`, all that become 4 bits, share. */
export function int4Context(
  settings: Int4Settings,
  weights: Int4Weights,
  layers: readonly LinearLayer[],
): Int4Context {
  const inputs = new Map<string, string[]>();
  for (const layer of layers) {
    const known = inputs.get(weightKey(layer));
    if (known === undefined) inputs.set(weightKey(layer), [layer.input]);
    else known.push(layer.input);
  }
  return { settings, weights, inputs, stored: new Map() };
}

/** Equal for layers that read the same matrix the same way round: these share the rounded bytes. */
function weightKey({ weight }: LinearLayer): string {
  return `${weight.initializer}|${weight.outputAxis}`;
}

/**
 * Writes one layer with a 4-bit weight: onnxruntime's `MatMulNBits`, or a blocked DequantizeLinear
 * (opset 21) before a MatMul, which onnxruntime turns to the same. The output keeps its name and type, a
 * Gemm's bias becomes an Add.
 */
export function writeInt4(context: WriteContext, int4: Int4Context, layer: LinearLayer): void {
  replaceProduct(context, layer, (named) =>
    int4.settings.form === 'qdq'
      ? writeBlocked(context, int4, layer, named)
      : [writeNbits(context, int4, layer, named)],
  );
}

function writeNbits(
  context: WriteContext,
  int4: Int4Context,
  layer: LinearLayer,
  named: Node,
): Node {
  const { blockSize, symmetric } = int4.settings;
  const { inFeatures, outFeatures } = layer;
  const blocks = int4BlockCount(inFeatures, blockSize);
  const constants = storeInt4(context, int4, layer, ({ nbits }) => [
    ['_Q4', 'uint8', [outFeatures, blocks, blockSize / 2], nbits.values],
    ['_scales', 'float32', [outFeatures * blocks], nbits.scales],
    ...(symmetric
      ? []
      : [zeroPoints('uint8', [outFeatures * Math.ceil(blocks / 2)], nbits.zeroPoints)]),
  ]);
  return makeNbitsNode(named, layer, constants, { bits: 4, blockSize });
}

function writeBlocked(
  context: WriteContext,
  int4: Int4Context,
  layer: LinearLayer,
  named: Node,
): readonly Node[] {
  const { blockSize, symmetric } = int4.settings;
  const { inFeatures, outFeatures, weight } = layer;
  const blocks = int4BlockCount(inFeatures, blockSize);
  const dataType = symmetric ? 'int4' : 'uint4';
  const constants = storeInt4(context, int4, layer, ({ blocked }) => [
    ['_Q4', dataType, [inFeatures, outFeatures], blocked.values],
    ['_scales', 'float32', [blocks, outFeatures], blocked.scales],
    ...(symmetric ? [] : [zeroPoints(dataType, [blocks, outFeatures], blocked.zeroPoints)]),
  ]);
  const dequantized = context.rewrite.freshName(`${weight.initializer}_dequantized`);
  const dequantize = makeNode('DequantizeLinear', constants, dequantized, {
    axis: 0n,
    block_size: BigInt(blockSize),
  });
  const inputs = [layer.input, dequantized];
  return [dequantize, { ...named, opType: 'MatMul', domain: '', inputs, attributes: new Map() }];
}

/** Suffix of its name, element type, dims and bytes of one part of a 4-bit weight. */
type Part = readonly [string, DataType, readonly number[], TensorSource];

function zeroPoints(dataType: DataType, dims: readonly number[], source: TensorSource): Part {
  return ['_zero_points', dataType, dims, source];
}

/** Returns the names of the constants of a layer's weight, made on first use: layers that share it share them. */
function storeInt4(
  { rewrite }: WriteContext,
  { weights, inputs, stored }: Int4Context,
  layer: LinearLayer,
  partsOf: (weight: Int4Weight) => readonly Part[],
): readonly string[] {
  const key = weightKey(layer);
  const known = stored.get(key);
  if (known !== undefined) return known;
  const names = partsOf(weights(layer, inputs.get(key) ?? [layer.input])).map(
    ([suffix, dataType, dims, source]) =>
      addConstant(rewrite, {
        name: `${layer.weight.initializer}${suffix}`,
        dataType,
        dims,
        source,
      }),
  );
  stored.set(key, names);
  return names;
}
