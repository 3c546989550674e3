/**
 * IEEE 754 binary16 as bit patterns in Uint16Array, because Node 20 has no Float16Array.
 * All narrowing rounds to nearest, ties to even.
 */

/** Smallest positive normal float16, 2^-14. */
const FLOAT16_MIN_NORMAL = 2 ** -14;
/** Largest finite float16. */
export const FLOAT16_MAX = 65504;

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** Returns the value of a float16 bit pattern, exact; every NaN pattern gives NaN. */
export function float16ToFloat32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/**
 * Returns the float16 bit pattern nearest to `value`, which is first rounded to float32. From
 * 65520 on the result is infinity; NaN becomes the quiet NaN 0x7e00 (or 0xfe00).
 */
export function float32ToFloat16(value: number): number {
  scratchFloat[0] = value;
  return narrow(scratchBits[0]!);
}

/** Returns `value`, any float64, rounded once to the nearest float16 (65520 and above give infinity). */
export function roundToFloat16(value: number): number {
  const magnitude = Math.abs(value);
  if (!(magnitude < 65520)) return Number.isNaN(value) ? NaN : Math.sign(value) * Infinity;
  // Adding 1.5 * 2^52 units in the last place of the target leaves float64 no bits below that place.
  const exponent = magnitude < FLOAT16_MIN_NORMAL ? -14 : Math.floor(Math.log2(magnitude));
  const unit = 2 ** ((2 ** exponent > magnitude ? exponent - 1 : exponent) - 10);
  const magic = 1.5 * 2 ** 52 * Math.max(unit, 2 ** -24);
  return value + magic - magic;
}

let widened: Float32Array | undefined;

/**
 * Widens float16 bit patterns, exactly. Writes to `into` (as long as `source` or longer), which is
 * allocated when absent.
 */
export function float16ArrayToFloat32(
  source: Uint16Array,
  into: Float32Array = new Float32Array(source.length),
): Float32Array {
  widened ??= Float32Array.from({ length: 65536 }, (_, bits) => float16ToFloat32(bits));
  const table = widened;
  for (let index = 0; index < source.length; index++) into[index] = table[source[index]!]!;
  return into;
}

/**
 * Narrows float32 values to float16 bit patterns. Writes to `into` (as long as `source` or
 * longer), which is allocated when absent.
 */
export function float32ArrayToFloat16(
  source: Float32Array,
  into: Uint16Array = new Uint16Array(source.length),
): Uint16Array {
  const aligned = source.byteOffset % 4 === 0;
  const bits = aligned
    ? new Uint32Array(source.buffer, source.byteOffset, source.length)
    : new Uint32Array(source.slice().buffer);
  for (let index = 0; index < bits.length; index++) into[index] = narrow(bits[index]!);
  return into;
}

/** float32 bits to float16 bits. */
function narrow(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude < 0x38800000) {
    // 0.5 has a last place of 2^-24, that of a float16 subnormal: the float32 addition rounds for us.
    scratchBits[0] = magnitude;
    scratchFloat[0] = scratchFloat[0]! + 0.5;
    return sign | (scratchBits[0]! - 0x3f000000);
  }
  const odd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}
