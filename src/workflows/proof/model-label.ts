import { constantsOf, parameterCount } from '../../ir/constants.ts';
import type { Model } from '../../ir/model.ts';

/** Returns the number of elements of all float and quantized constants of the main graph. */
export function countParameters(model: Model): number {
  return parameterCount(model.graph);
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
