/**
 * Sums of float64 numbers without any rounding, so that the order of additions cannot show. A sum is
 * an integer of units of 2^-1074, the smallest float64; BigInt makes that integer as long as it must be.
 */

/** An exact sum in units of 2^-1074. */
export type ExactSum = bigint;

/** The sum of nothing. */
export const EMPTY_SUM: ExactSum = 0n;

const UNIT_EXPONENT = -1074;
const scratch = new DataView(new ArrayBuffer(8));

/** Returns the exact value of a finite float64. Throws RangeError for NaN and infinity. */
export function exactFrom(value: number): ExactSum {
  scratch.setFloat64(0, value);
  const bits = scratch.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  if (exponent === 0x7ff) throw new RangeError(`exact sum: not finite (got ${value})`);
  const magnitude =
    exponent === 0 ? fraction : (fraction | 0x10000000000000n) << BigInt(exponent - 1);
  return value < 0 ? -magnitude : magnitude;
}

/** Returns the float64 nearest to the sum, ties to even; infinity when it is too large. */
export function exactToNumber(sum: ExactSum): number {
  const magnitude = sum < 0n ? -sum : sum;
  const length = bitLength(magnitude);
  // Keep 53 bits and two more: the guard bit, and one that says whether anything non-zero follows.
  const drop = Math.max(length - 55, 0);
  const kept = magnitude >> BigInt(drop);
  const sticky = kept << BigInt(drop) === magnitude ? 0n : 1n;
  const rounded = Number(kept | sticky);
  const value = scaleByPowerOfTwo(rounded, UNIT_EXPONENT + drop);
  return sum < 0n ? -value : value;
}

/**
 * Returns the canonical text `[-]0x<odd hex>p<exponent>`, a hexadecimal floating-point literal of C99;
 * `0x0p0` for zero.
 */
export function formatExactSum(sum: ExactSum): string {
  if (sum === 0n) return '0x0p0';
  const magnitude = sum < 0n ? -sum : sum;
  const trailing = bitLength(magnitude & -magnitude) - 1;
  const digits = (magnitude >> BigInt(trailing)).toString(16);
  return `${sum < 0n ? '-' : ''}0x${digits}p${trailing + UNIT_EXPONENT}`;
}

/** Reads the text of {@link formatExactSum}; undefined when it is anything else. */
export function parseExactSum(text: string): ExactSum | undefined {
  const match = /^(-?)0x([0-9a-f]{1,600})p(-?\d{1,4})$/.exec(text);
  if (match === null) return undefined;
  const shift = Number(match[3]) - UNIT_EXPONENT;
  if (shift < 0 || shift > 2400) return undefined;
  const magnitude = BigInt(`0x${match[2]}`) << BigInt(shift);
  const sum = match[1] === '-' ? -magnitude : magnitude;
  return formatExactSum(sum) === text ? sum : undefined;
}

function bitLength(magnitude: bigint): number {
  const hex = magnitude.toString(16);
  return (hex.length - 1) * 4 + (32 - Math.clz32(Number.parseInt(hex[0]!, 16)));
}

/** Multiplies by 2^exponent through a normal number, so that only the last product rounds. */
function scaleByPowerOfTwo(value: number, exponent: number): number {
  return exponent < -1000 ? value * 2 ** -74 * 2 ** (exponent + 74) : value * 2 ** exponent;
}
