/** bfloat16, the upper half of a float32, as bit patterns in Uint16Array. */

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** Returns the value of a bfloat16 bit pattern, exact. */
export function bfloat16ToFloat32(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratchFloat[0]!;
}

/**
 * Returns the bfloat16 bit pattern nearest to `value` (first rounded to float32), ties to even; NaN
 * becomes a quiet NaN of the same sign.
 */
export function float32ToBfloat16(value: number): number {
  scratchFloat[0] = value;
  return narrow(scratchBits[0]!);
}

/** Widens bfloat16 bit patterns, exactly, into `into` (allocated when absent). */
export function bfloat16ArrayToFloat32(
  source: Uint16Array,
  into: Float32Array = new Float32Array(source.length),
): Float32Array {
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let index = 0; index < source.length; index++) bits[index] = source[index]! << 16;
  return into;
}

/** Narrows float32 values to bfloat16 bit patterns, ties to even, into `into` (allocated when absent). */
export function float32ArrayToBfloat16(
  source: Float32Array,
  into: Uint16Array = new Uint16Array(source.length),
): Uint16Array {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  for (let index = 0; index < bits.length; index++) into[index] = narrow(bits[index]!);
  return into;
}

function narrow(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
