import { attributes } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import { inlineTensor, type Tensor } from '../../ir/tensor.ts';
import type { Factors } from '../../numerics/scale-rows.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { typeAfter } from '../layer-limits.ts';

/** Nodes that multiply a weight, their constants, and the name of the product. */
export interface MultipliedWeight {
  readonly nodes: readonly Node[];
  readonly initializers: readonly Tensor[];
  readonly value: string;
}

/**
 * Returns the nodes that multiply a layer's float32 weight by factors of the stored matrix, right before
 * the layer reads it. The weight itself stays where it is, so a runtime still maps it from its file.
 * Returns undefined when the layer does not read float32.
 */
export function multiplyWeight(
  layer: LinearLayer,
  factors: Factors,
  makeName: (wanted: string) => string,
): MultipliedWeight | undefined {
  const { tensor, path, value, initializer } = layer.weight;
  if (typeAfter(tensor.dataType, path) !== 'float32') return undefined;
  const isTransposed = path.filter(({ opType }) => opType === 'Transpose').length % 2 === 1;
  const [rows, columns] = isTransposed
    ? [factors.columns, factors.rows]
    : [factors.rows, factors.columns];
  const nodes: Node[] = [];
  const initializers: Tensor[] = [];
  let product = value;
  const multiply = (vector: Float32Array | undefined, dims: readonly number[]): void => {
    if (vector === undefined || vector.every((factor) => factor === 1)) return;
    const name = makeName(`${initializer}_factors`);
    const output = makeName(`${value}_multiplied`);
    initializers.push(inlineTensor(name, 'float32', dims, new Uint8Array(vector.slice().buffer)));
    nodes.push({
      name: makeName(`${initializer}_multiply`),
      opType: 'Mul',
      domain: '',
      inputs: [product, name],
      outputs: [output],
      attributes: attributes({}),
    });
    product = output;
  };
  multiply(rows, [rows?.length ?? 0, 1]);
  multiply(columns, [1, columns?.length ?? 0]);
  return { nodes, initializers, value: product };
}
