/**
 * Activations as two planes of uint8: a coarse one over the whole range, and the residual that it leaves, which
 * is at most half a coarse step whatever the data. Together they hold some 16 bits of a range that one plane
 * holds 8 of, and a product with both is two integer products with the same weights.
 */
import { type AffineParameters, dequantize, type QuantizedArray, quantize } from './affine.ts';

const UINT8 = { min: 0, max: 255 } as const;
const FLOAT32_MIN_NORMAL = 2 ** -126;

/**
 * Returns the parameters of the residual plane beside a coarse one: uint8 about 128 with 255 steps for each coarse
 * step, in float32 and never subnormal. A residual of half a step saturates by half a fine step.
 */
export function residualPlane({ scale }: AffineParameters): AffineParameters {
  return { scale: Math.max(Math.fround(scale / 255), FLOAT32_MIN_NORMAL), zeroPoint: 128 };
}

/** Returns what one uint8 plane holds of float32 `values`, as float32. */
export function throughPlane(values: Float32Array, plane: AffineParameters): Float32Array {
  const integers: QuantizedArray = quantize(values, plane, UINT8, new Uint8Array(values.length));
  return dequantize(integers, plane);
}

/** Returns what the coarse plane and its residual hold of float32 `values`, their sum in float32. */
export function throughPlanes(values: Float32Array, coarse: AffineParameters): Float32Array {
  const held = throughPlane(values, coarse);
  const residuals = values.map((value, index) => value - held[index]!);
  const fine = throughPlane(residuals, residualPlane(coarse));
  return held.map((value, index) => value + fine[index]!);
}
