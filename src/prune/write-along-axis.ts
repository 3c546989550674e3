import { inlineSource, type Tensor } from '../ir/tensor.ts';
import { float32ToBfloat16 } from '../numerics/bfloat16.ts';
import { float32ToFloat16 } from '../numerics/float16.ts';
import { type AxisLayout, layoutAround } from './read-along-axis.ts';
import type { UnitWeight } from './unit-weights.ts';

/** Largest magnitude of a float16. */
const FLOAT16_MAX = 65504;

/**
 * Returns a weight with new values, given with the axis of the units first, in its own layout and element type,
 * rounded to nearest even; undefined when one passes the range of the type.
 */
export function writeAlongAxis(
  { tensor, axis }: Pick<UnitWeight, 'tensor' | 'axis'>,
  values: Float32Array,
): Tensor | undefined {
  const laidOut = axis === 0 ? values : axisBack(values, layoutAround(tensor.dims, axis));
  if (tensor.dataType === 'float16' && laidOut.some((value) => Math.abs(value) > FLOAT16_MAX)) {
    return undefined;
  }
  const data =
    tensor.dataType === 'float32'
      ? laidOut
      : Uint16Array.from(
          laidOut,
          tensor.dataType === 'float16' ? float32ToFloat16 : float32ToBfloat16,
        );
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { ...tensor, source: inlineSource(bytes) };
}

/** `[size, outer, inner]` as `[outer, size, inner]` */
function axisBack(values: Float32Array, { outer, size, inner }: AxisLayout): Float32Array {
  const result = new Float32Array(values.length);
  for (let index = 0; index < size; index++) {
    for (let place = 0; place < outer; place++) {
      const from = (index * outer + place) * inner;
      result.set(values.subarray(from, from + inner), (place * size + index) * inner);
    }
  }
  return result;
}
