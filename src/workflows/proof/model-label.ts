import { constantsOf } from '../../ir/constants.ts';
import { DATA_TYPES, isFloatDataType, isKnownDataType } from '../../ir/data-type.ts';
import type { Model } from '../../ir/model.ts';
import { elementCount, type Tensor } from '../../ir/tensor.ts';

/** Returns the number of elements of all float and quantized constants of the main graph. */
export function countParameters(model: Model): number {
  let count = 0;
  for (const [, tensor] of constantsOf(model.graph))
    if (isWeight(tensor)) count += elementCount(tensor.dims);
  return count;
}

/** Returns the element type that most constant bytes have: `float16`, `float32`, `int8`. */
export function labelOf(model: Model): string {
  const bytes = new Map<string, number>();
  for (const [, { dataType, source }] of constantsOf(model.graph)) {
    bytes.set(dataType, (bytes.get(dataType) ?? 0) + source.byteLength);
  }
  const [most] = [...bytes].sort((a, b) => b[1] - a[1]);
  return most?.[0] ?? 'empty';
}

function isWeight({ dataType }: Tensor): boolean {
  return isFloatDataType(dataType) || (isKnownDataType(dataType) && DATA_TYPES[dataType].bits <= 8);
}
