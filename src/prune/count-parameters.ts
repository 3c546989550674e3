import { isFloatDataType } from '../ir/data-type.ts';
import type { Model } from '../ir/model.ts';
import { elementCount } from '../ir/tensor.ts';

/** Returns the elements of all float initializers of the main graph, each once. */
export function countParameters({ graph }: Model): number {
  let count = 0;
  for (const { dataType, dims } of graph.initializers.values()) {
    if (isFloatDataType(dataType)) count += elementCount(dims);
  }
  return count;
}
