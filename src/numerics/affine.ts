/**
 * The affine quantizer of ONNX QuantizeLinear / DequantizeLinear, and the choice of its parameters
 * exactly as onnxruntime 1.30's `quantization` package makes it, so that minmax scales agree bit for bit.
 *
 * `q = clamp(roundHalfToEven(x / scale) + zeroPoint, qMin, qMax)`, the division in float32.
 */
import { FLOAT16_MAX, roundToFloat16 } from './float16.ts';

/** Element types that hold quantized values. */
export type IntegerType = 'int8' | 'uint8' | 'int16' | 'uint16' | 'int4' | 'uint4';

/** Integers that a quantized value may take, both ends included. */
export interface IntegerRange {
  readonly min: number;
  readonly max: number;
}

/** Real values that must be representable, both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Element type in which a scale is stored. */
export type ScaleType = 'float32' | 'float16';

/** How real values are laid on integers. */
export interface AffineScheme {
  readonly dataType: IntegerType;
  /** Zero point in the middle, range mirrored about zero. */
  readonly symmetric: boolean;
  /** Half the integers, for x86 before VNNI, where pairs of products saturate in 16 bits. */
  readonly reduceRange?: boolean;
  /** float32 when absent. */
  readonly scaleType?: ScaleType;
}

/** Step between integers and the integer that stands for zero. */
export interface AffineParameters {
  /** Positive, finite and exact in the scheme's scale type; never subnormal in float32. */
  readonly scale: number;
  readonly zeroPoint: number;
}

/** Arrays that hold quantized values; int4 and uint4 are unpacked, one value per element. */
export type QuantizedArray = Int8Array | Uint8Array | Int16Array | Uint16Array;

const FULL: Readonly<Record<IntegerType, IntegerRange>> = {
  int8: { min: -128, max: 127 },
  uint8: { min: 0, max: 255 },
  int16: { min: -32768, max: 32767 },
  uint16: { min: 0, max: 65535 },
  int4: { min: -8, max: 7 },
  uint4: { min: 0, max: 15 },
};

const REDUCED: Readonly<Record<IntegerType, IntegerRange>> = {
  int8: { min: -64, max: 64 },
  uint8: { min: 0, max: 127 },
  int16: { min: -16384, max: 16384 },
  uint16: { min: 0, max: 32767 },
  int4: { min: -4, max: 3 },
  uint4: { min: 0, max: 7 },
};

/**
 * Smallest float16 scale: 51 steps of 2^-24, about 3.04e-6. Rounding to float16 moves it and those
 * above by less than 1 %.
 */
export const FLOAT16_MIN_SCALE: number = 51 * 2 ** -24;

const FLOAT32_MIN_NORMAL = 2 ** -126;
const FLOAT32_MAX = (2 - 2 ** -23) * 2 ** 127;
/** float64 numbers near this have no bits below one, so adding and subtracting it rounds half to even. */
const ROUNDING_MAGIC = 1.5 * 2 ** 52;

/**
 * Returns the integers that `scheme` maps its range to: all of the type, without the lowest for
 * symmetric int8 and int16 (so that -a and a are equally far), or half of them with `reduceRange`.
 */
export function integerRange(scheme: AffineScheme): IntegerRange {
  if (scheme.reduceRange) return REDUCED[scheme.dataType];
  const { min, max } = FULL[scheme.dataType];
  const dropsLowest = scheme.dataType === 'int8' || scheme.dataType === 'int16';
  return scheme.symmetric && dropsLowest ? { min: -max, max } : { min, max };
}

/**
 * Returns scale and zero point for values of `range`, which is widened to hold zero. As in
 * onnxruntime the width is taken in float32, divided in float64 and then rounded to the scale's
 * type, and a scale below that type's normal numbers becomes 1. float16 differs in that last point,
 * because FP16 weights below 0.0078 are ordinary: subnormal scales are kept, and raised to
 * {@link FLOAT16_MIN_SCALE} where they would be coarser than 1 %.
 * Throws RangeError for a range that holds NaN or infinity.
 */
export function chooseScale(range: Range, scheme: AffineScheme): AffineParameters {
  if (!Number.isFinite(range.min) || !Number.isFinite(range.max)) {
    throw new RangeError(`scale: range is not finite (got ${range.min}..${range.max})`);
  }
  const integers = integerRange(scheme);
  let min = Math.min(Math.fround(range.min), 0);
  let max = Math.max(Math.fround(range.max), 0);
  if (scheme.symmetric) {
    max = Math.max(-min, max);
    min = -max;
  }
  const width = Math.min(Math.fround(max - min), FLOAT32_MAX);
  const exact = width / (integers.max - integers.min);
  if (exact === 0 || (exact < FLOAT32_MIN_NORMAL && scheme.scaleType !== 'float16')) {
    return { scale: 1, zeroPoint: 0 };
  }
  const scale = storeScale(exact, scheme.scaleType);
  const middle = (integers.min + integers.max) / 2;
  const zeroPoint = roundHalfToEven(scheme.symmetric ? middle : integers.min - min / exact);
  return { scale, zeroPoint: Math.min(Math.max(zeroPoint, integers.min), integers.max) };
}

/**
 * Returns the scale of symmetric integers -`limit`..`limit` that holds magnitudes up to `absMax`:
 * {@link chooseScale} without the zero point, for weights. `limit` is 127 for int8 and 7 for int4.
 */
export function chooseSymmetricScale(absMax: number, limit: number, type: ScaleType): number {
  const exact = (2 * Math.fround(absMax)) / (2 * limit);
  if (exact === 0 || (exact < FLOAT32_MIN_NORMAL && type === 'float32')) return 1;
  return storeScale(exact, type);
}

/**
 * Returns the float32 scale of int8 weights -127..127 at which no CPU saturates: x86 before VNNI multiplies
 * uint8 activations by int8 weights and adds two neighbouring products in 16 bits, so
 * `255 * (|q[2k]| + |q[2k+1]|) <= 32767` must hold for weights of one sign, which is a sum of 128 at most.
 * `absMax` is the channel's largest magnitude, `pairSum` its largest `|w[2k] + w[2k+1]|` in float32; for
 * opposite signs products cancel. Quotients that sum to 128 or less round to integers that do,
 * because two halves that both rounded up would have one even integer below them. The pair's term is
 * rounded up one ulp, which outweighs the roundings of the sum and of the two divisions.
 */
export function choosePairSafeScale(absMax: number, pairSum: number): number {
  // The sum of two large float32 weights may be infinite.
  const exact = Math.fround(Math.min(pairSum, 2 * absMax) / 128);
  const pair = exact < FLOAT32_MIN_NORMAL ? 0 : nextFloat32(exact);
  return Math.max(chooseSymmetricScale(absMax, 127, 'float32'), pair);
}

/** The next float32 above a positive one. */
function nextFloat32(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0]! += 1;
  return new Float32Array(bits.buffer)[0]!;
}

/** Returns the real values that integers of `scheme` reach with these parameters. */
export function representableRange(parameters: AffineParameters, scheme: AffineScheme): Range {
  const { min, max } = integerRange(scheme);
  const { scale, zeroPoint } = parameters;
  return { min: (min - zeroPoint) * scale, max: (max - zeroPoint) * scale };
}

/** Returns `value` rounded to the nearest integer, ties to even. Exact for |value| < 2^51. */
export function roundHalfToEven(value: number): number {
  return value + ROUNDING_MAGIC - ROUNDING_MAGIC;
}

/** Returns a new array that holds quantized values of a type. */
export function createQuantizedArray(dataType: IntegerType, length: number): QuantizedArray {
  switch (dataType) {
    case 'int8':
    case 'int4':
      return new Int8Array(length);
    case 'uint8':
    case 'uint4':
      return new Uint8Array(length);
    case 'int16':
      return new Int16Array(length);
    case 'uint16':
      return new Uint16Array(length);
  }
}

/**
 * Quantizes float32 values with one scale, clamping to the whole of `integers`. NaN becomes
 * `integers.min`. Writes to `into` and returns it.
 */
export function quantize<T extends QuantizedArray>(
  values: Float32Array,
  parameters: AffineParameters,
  integers: IntegerRange,
  into: T,
): T {
  const { scale, zeroPoint } = parameters;
  const low = integers.min - zeroPoint;
  const high = integers.max - zeroPoint;
  for (let index = 0; index < values.length; index++) {
    let rounded = Math.fround(values[index]! / scale) + ROUNDING_MAGIC - ROUNDING_MAGIC;
    if (rounded > high) rounded = high;
    else if (!(rounded >= low)) rounded = low;
    into[index] = rounded + zeroPoint;
  }
  return into;
}

/** Returns float32 values `(q - zeroPoint) * scale`, the product rounded to float32. */
export function dequantize(
  values: QuantizedArray,
  parameters: AffineParameters,
  into: Float32Array = new Float32Array(values.length),
): Float32Array {
  const { scale, zeroPoint } = parameters;
  for (let index = 0; index < values.length; index++) {
    into[index] = (values[index]! - zeroPoint) * scale;
  }
  return into;
}

/**
 * Quantizes a tensor with one scale per index of `axis` (`dims` row-major; `parameters` as long as
 * `dims[axis]`). Writes to `into` and returns it.
 */
export function quantizePerAxis<T extends QuantizedArray>(
  values: Float32Array,
  dims: readonly number[],
  axis: number,
  parameters: readonly AffineParameters[],
  integers: IntegerRange,
  into: T,
): T {
  forEachRun(dims, axis, parameters.length, (channel, from, to) => {
    const run = into.subarray(from, to) as QuantizedArray;
    quantize(values.subarray(from, to), parameters[channel]!, integers, run);
  });
  return into;
}

/** The inverse of {@link quantizePerAxis}. */
export function dequantizePerAxis(
  values: QuantizedArray,
  dims: readonly number[],
  axis: number,
  parameters: readonly AffineParameters[],
  into: Float32Array = new Float32Array(values.length),
): Float32Array {
  forEachRun(dims, axis, parameters.length, (channel, from, to) => {
    dequantize(values.subarray(from, to), parameters[channel]!, into.subarray(from, to));
  });
  return into;
}

/** Calls `visit` for every contiguous run of elements that share an index of `axis`. */
function forEachRun(
  dims: readonly number[],
  axis: number,
  parameterCount: number,
  visit: (channel: number, from: number, to: number) => void,
): void {
  const channels = dims[axis];
  if (channels === undefined || channels !== parameterCount) {
    throw new RangeError(
      `per axis: one scale per channel (got ${parameterCount} for axis ${axis} of [${dims}])`,
    );
  }
  const size = dims.reduce((product, dim) => product * dim, 1);
  const run = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  for (let from = 0, channel = 0; from < size; from += run) {
    visit(channel, from, from + run);
    channel = channel + 1 === channels ? 0 : channel + 1;
  }
}

function storeScale(scale: number, type: ScaleType = 'float32'): number {
  if (type === 'float32') return Math.fround(scale);
  return Math.min(Math.max(roundToFloat16(scale), FLOAT16_MIN_SCALE), FLOAT16_MAX);
}
