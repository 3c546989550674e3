import { attributes } from '../../ir/attributes.ts';
import type { Model, ValueInfo } from '../../ir/model.ts';

/** Names of the values of {@link gramModel}. */
export const GRAM_VALUES = { vectors: 'x', before: 'sum', after: 'gram' } as const;

/**
 * Returns a model of one product: `gram [K, K] = sum [K, K] + transpose(x [n, K]) * x`, float32, for any K.
 * A runtime adds up second moments with it some thirty times faster than loops of ours.
 */
export function gramModel(): Model {
  const { vectors, before, after } = GRAM_VALUES;
  const value = (name: string, shape: readonly string[]): ValueInfo => ({
    name,
    type: { kind: 'tensor', dataType: 'float32', shape },
  });
  return {
    irVersion: 8,
    opsetImports: [{ domain: '', version: 13 }],
    functions: [],
    storage: { external: false, files: [] },
    graph: {
      name: 'gram',
      nodes: [
        {
          name: 'gram_node',
          opType: 'Gemm',
          domain: '',
          inputs: [vectors, vectors, before],
          outputs: [after],
          attributes: attributes({ transA: 1n }),
        },
      ],
      inputs: [value(vectors, ['n', 'k']), value(before, ['k', 'k'])],
      outputs: [value(after, ['k', 'k'])],
      initializers: new Map(),
      sparseInitializers: [],
      valueInfo: new Map(),
    },
  };
}
