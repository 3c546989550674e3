import { attributes } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { makeNode, type WriteContext } from './write-context.ts';

/** Activations become INT8 per block inside the CPU kernel; without it onnxruntime is some 20 times slower. */
const ACCURACY_LEVEL = 4n;

/** How the weight of a `MatMulNBits` is cut. */
export interface NbitsGrid {
  readonly bits: 4 | 8;
  readonly blockSize: number;
}

/** Returns `named` as onnxruntime's `MatMulNBits` of a layer's input and constants B, scales and zero points. */
export function makeNbitsNode(
  named: Node,
  { input, inFeatures, outFeatures }: LinearLayer,
  constants: readonly string[],
  { bits, blockSize }: NbitsGrid,
): Node {
  return {
    ...named,
    opType: 'MatMulNBits',
    domain: 'com.microsoft',
    inputs: [input, ...constants],
    attributes: attributes({
      K: BigInt(inFeatures),
      N: BigInt(outFeatures),
      bits: BigInt(bits),
      block_size: BigInt(blockSize),
      accuracy_level: ACCURACY_LEVEL,
    }),
  };
}

/**
 * Writes what `make` returns in place of a layer's product: `make` gets the node with the name and
 * output that the product must keep, a Gemm's bias becomes an Add behind it.
 */
export function replaceProduct(
  { rewrite, nodeNames }: WriteContext,
  { node, weight, name }: LinearLayer,
  make: (named: Node) => readonly Node[],
): void {
  const output = node.outputs[0]!;
  const bias = node.opType === 'Gemm' ? (node.inputs[2] ?? '') : '';
  const product = bias === '' ? output : rewrite.freshName(`${output}_product`);
  const named = { ...node, name: nodeNames.get(name) ?? node.name, outputs: [product] };
  const sum = bias === '' ? [] : [makeNode('Add', [product, bias], output)];
  rewrite.instead.set(node, [...make(named), ...sum]);
  rewrite.perhapsUnused.add(weight.initializer);
  for (const step of weight.path) rewrite.perhapsUnused.add(step.outputs[0]!);
}
