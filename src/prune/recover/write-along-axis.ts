import { inlineSource, type Tensor } from '../../ir/tensor.ts';
import { float32ToBfloat16 } from '../../numerics/bfloat16.ts';
import { float32ToFloat16 } from '../../numerics/float16.ts';
import type { UnitWeight } from '../unit-weights.ts';

/** Largest magnitude of a float16. */
const FLOAT16_MAX = 65504;

/**
 * Returns a matrix with new values, given with the axis of the units first, in its own layout and element type,
 * rounded to nearest even; undefined when one passes the range of the type.
 */
export function writeAlongAxis(
  { tensor, axis }: Pick<UnitWeight, 'tensor' | 'axis'>,
  values: Float32Array,
): Tensor | undefined {
  const [rows = 0, columns = 0] = tensor.dims;
  const laidOut = axis === 0 ? values : transpose(values, columns, rows);
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

/** `[rows, columns]` as `[columns, rows]` */
function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = values[row * columns + column]!;
    }
  }
  return result;
}
