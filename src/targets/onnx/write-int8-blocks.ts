import { UnsupportedError } from '../../errors.ts';
import { dataTypeCode } from '../../ir/data-type.ts';
import { addConstant } from '../../ir/rewrite.ts';
import { inlineTensor } from '../../ir/tensor.ts';
import { typeAfter } from '../../quantize/layer-limits.ts';
import type { Embedding } from '../../structure/find-embeddings.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { makeNode, type StoredBlocks, type WriteContext } from './write-context.ts';
import { makeNbitsNode, replaceProduct } from './write-nbits.ts';

/** Zero among the bytes of a blocked weight. */
const ZERO_POINT = 128;

/** Writes one layer as `MatMulNBits` of 8 bits, a scale for every `blockSize` input features. */
export function writeInt8Blocks(
  context: WriteContext,
  layer: LinearLayer,
  blockSize: number,
): void {
  const { initializer, tensor, outputAxis } = layer.weight;
  const { integers, scales } = storeBlocks(context, initializer, tensor, outputAxis, blockSize);
  replaceProduct(context, layer, (named) => [
    makeNbitsNode(named, layer, [integers, scales], { bits: 8, blockSize }),
  ]);
}

/**
 * Writes a token table in blocks, whose bytes a tied head reads as they are: rows are gathered as
 * integers and scaled block by block.
 */
export function writeBlockedEmbedding(
  context: WriteContext,
  { node, name, table, path, tokenAxis }: Embedding,
  blockSize: number,
): void {
  const { rewrite } = context;
  const float = typeAfter(table.dataType, path);
  const { integers, scales } = storeBlocks(context, name, table, tokenAxis, blockSize);
  const constant = (suffix: string, dataType: 'float32' | 'int64', bytes: ArrayBuffer): string =>
    addConstant(
      rewrite,
      inlineTensor(
        `${name}_${suffix}`,
        dataType,
        dataType === 'int64' ? [1] : [],
        new Uint8Array(bytes),
      ),
    );
  const zero = constant('zero', 'float32', Float32Array.of(ZERO_POINT).buffer);
  const last = constant('last_axis', 'int64', BigInt64Array.of(-1n).buffer);
  const width = constant(
    'width',
    'int64',
    BigInt64Array.of(BigInt(table.dims[1 - tokenAxis]!)).buffer,
  );
  const ids = node.inputs[1]!;
  const output = node.outputs[0]!;
  const fresh = (suffix: string): string => rewrite.freshName(`${output}_${suffix}`);
  const [rows, widened, centred, scaled] = ['integer_rows', 'rows', 'centred', 'scaled'].map(fresh);
  const [rowScales, blockScales] = ['row_scales', 'block_scales'].map(fresh);
  const [shape, target] = ['ids_shape', 'shape'].map(fresh);
  const exact = float === 'float32' ? output : fresh('float32');
  const nodes = [
    { ...node, inputs: [integers, ids], outputs: [rows!] },
    makeNode('Cast', [rows!], widened!, { to: BigInt(dataTypeCode('float32')) }),
    makeNode('Sub', [widened!, zero], centred!),
    makeNode('Gather', [scales, ids], rowScales!, { axis: 0n }),
    makeNode('Unsqueeze', [rowScales!, last], blockScales!),
    makeNode('Mul', [centred!, blockScales!], scaled!),
    makeNode('Shape', [ids], shape!),
    makeNode('Concat', [shape!, width], target!, { axis: 0n }),
    makeNode('Reshape', [scaled!, target!], exact),
  ];
  if (exact !== output) {
    nodes.push(makeNode('Cast', [exact], output, { to: BigInt(dataTypeCode(float)) }));
  }
  rewrite.instead.set(node, nodes);
  rewrite.perhapsUnused.add(name);
  for (const step of path) rewrite.perhapsUnused.add(step.outputs[0]!);
}

/**
 * Returns the constants of a blocked weight, made on first use: tied layers share them. Throws
 * {@link UnsupportedError} when blocks do not divide the input features.
 */
function storeBlocks(
  { rewrite, quantizeBlocks, blockedWeights }: WriteContext,
  initializer: string,
  tensor: LinearLayer['weight']['tensor'],
  outputAxis: number,
  blockSize: number,
): StoredBlocks {
  const key = `${initializer}|${outputAxis}|${blockSize}`;
  const known = blockedWeights.get(key);
  if (known !== undefined) return known;
  const outFeatures = tensor.dims[outputAxis]!;
  const inFeatures = tensor.dims[1 - outputAxis]!;
  const blocks = inFeatures / blockSize;
  if (!Number.isInteger(blocks)) {
    throw new UnsupportedError(
      `${initializer}: blocks of ${blockSize} do not divide its input features (got ${inFeatures}). ` +
        'Plan again from this model.',
    );
  }
  const { values, scales } = quantizeBlocks(tensor, outputAxis, blockSize);
  const stored = {
    integers: addConstant(rewrite, {
      name: `${initializer}_Q8`,
      dataType: 'uint8',
      dims: [outFeatures, blocks, blockSize],
      source: values,
    }),
    scales: addConstant(rewrite, {
      name: `${initializer}_scales`,
      dataType: 'float32',
      dims: [outFeatures, blocks],
      source: scales,
    }),
  };
  blockedWeights.set(key, stored);
  return stored;
}
