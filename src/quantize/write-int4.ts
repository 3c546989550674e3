import type { Node } from '../ir/model.ts';
import { int4BlockCount } from '../numerics/int4-blocks.ts';
import type { LinearLayer } from '../passes/linear-layer.ts';
import type { Int4Settings } from '../recipe/recipe.ts';
import { addConstant } from './rewrite.ts';
import type { Int4Sources, Int4Weights } from './weights/int4-weight.ts';
import { makeNode, type WriteContext } from './write-context.ts';
import { makeNbitsNode, replaceProduct } from './write-nbits.ts';

/** What 4-bit layers of one model share. */
export interface Int4Context {
  readonly settings: Int4Settings;
  readonly weights: Int4Weights;
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
  { rewrite }: WriteContext,
  { settings, weights }: Int4Context,
  layer: LinearLayer,
  named: Node,
): Node {
  const { inFeatures, outFeatures, weight } = layer;
  const { blockSize, symmetric } = settings;
  const blocks = int4BlockCount(inFeatures, blockSize);
  const { values, scales, zeroPoints } = weights(layer).nbits;
  const constants = [
    addConstant(rewrite, {
      name: `${weight.initializer}_Q4`,
      dataType: 'uint8',
      dims: [outFeatures, blocks, blockSize / 2],
      source: values,
    }),
    addConstant(rewrite, {
      name: `${weight.initializer}_scales`,
      dataType: 'float32',
      dims: [outFeatures * blocks],
      source: scales,
    }),
  ];
  if (!symmetric) {
    constants.push(
      addConstant(rewrite, {
        name: `${weight.initializer}_zero_points`,
        dataType: 'uint8',
        dims: [outFeatures * Math.ceil(blocks / 2)],
        source: zeroPoints,
      }),
    );
  }
  return makeNbitsNode(named, layer, constants, { bits: 4, blockSize });
}

function writeBlocked(
  context: WriteContext,
  { settings, weights }: Int4Context,
  layer: LinearLayer,
  named: Node,
): readonly Node[] {
  const { rewrite } = context;
  const { weight } = layer;
  const constants = addBlocked(context, settings, layer, weights(layer).blocked);
  const dequantized = rewrite.freshName(`${weight.initializer}_dequantized`);
  const dequantize = makeNode('DequantizeLinear', constants, dequantized, {
    axis: 0n,
    block_size: BigInt(settings.blockSize),
  });
  const inputs = [layer.input, dequantized];
  return [dequantize, { ...named, opType: 'MatMul', domain: '', inputs, attributes: new Map() }];
}

function addBlocked(
  { rewrite }: WriteContext,
  { blockSize, symmetric }: Int4Settings,
  { inFeatures, outFeatures, weight }: LinearLayer,
  { values, scales, zeroPoints }: Int4Sources,
): readonly string[] {
  const dataType = symmetric ? 'int4' : 'uint4';
  const blocks = int4BlockCount(inFeatures, blockSize);
  const add = (suffix: string, type: typeof dataType | 'float32', source: typeof values) =>
    addConstant(rewrite, {
      name: `${weight.initializer}${suffix}`,
      dataType: type,
      dims: [source === values ? inFeatures : blocks, outFeatures],
      source,
    });
  const constants = [add('_Q4', dataType, values), add('_scales', 'float32', scales)];
  return symmetric ? constants : [...constants, add('_zero_points', dataType, zeroPoints)];
}
