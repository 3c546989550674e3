import type { Graph, Model, Node } from '../../../src/ir/model.ts';
import type { Tensor } from '../../../src/ir/tensor.ts';

/** Returns a model `y = Sum(x, ...weights)` whose initializers are the given tensors. */
export function sumModel(weights: readonly Tensor[], storage?: Partial<Model['storage']>): Model {
  const node: Node = {
    name: 'sum',
    opType: 'Sum',
    domain: '',
    inputs: ['x', ...weights.map((weight) => weight.name)],
    outputs: ['y'],
    attributes: new Map(),
  };
  const graph: Graph = {
    name: 'g',
    nodes: [node],
    inputs: [{ name: 'x', type: { kind: 'tensor', dataType: 'uint8', shape: [1] } }],
    outputs: [{ name: 'y' }],
    initializers: new Map(weights.map((weight) => [weight.name, weight])),
    sparseInitializers: [],
    valueInfo: new Map(),
  };
  return {
    irVersion: 10,
    opsetImports: [{ domain: '', version: 21 }],
    graph,
    functions: [],
    storage: { external: false, files: [], ...storage },
  };
}

/** Returns a uint8 tensor of one repeated byte. */
export function filled(name: string, byteLength: number, byte: number, key?: string): Tensor {
  const bytes = new Uint8Array(byteLength).fill(byte);
  return {
    name,
    dataType: 'uint8',
    dims: [byteLength],
    source: {
      byteLength,
      bytes,
      ...(key !== undefined && { key }),
      async read(into, offset) {
        into.set(bytes.subarray(offset, offset + into.length));
      },
    },
  };
}
