import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import { absMax } from '../weights/quantized-weight.ts';
import type { SmoothingSite } from './smoothing-site.ts';

/** Scales are held inside: float16 weights would leave their range. */
const SMALLEST = 2 ** -13;
const LARGEST = 2 ** 13;

/** Finite extremes of an activation by channel. */
export interface ChannelExtremes {
  readonly min: Float32Array;
  readonly max: Float32Array;
}

/**
 * What the scales of a site are for. `activations`: INT8 activations, whose channels become alike.
 * `weights`: INT8 weights behind float activations, whose rounding shrinks in the channels that
 * carry most.
 */
export type SmoothingPurpose = 'activations' | 'weights';

/** How strongly the scales of a site follow its activation, and what for. */
export interface SmoothingStrength {
  readonly purpose: SmoothingPurpose;
  /** 0 to 1. */
  readonly alpha: number;
}

/**
 * Returns one float32 scale per channel of a site, within 2^-13 to 2^13. For activations it is
 * `max|x|^alpha / max|w|^(1 - alpha)` (SmoothQuant, Xiao et al. 2023, equation 4), for weights
 * `max|x|^alpha` (AWQ, Lin et al. 2023, with the maximum in place of the mean). A channel that
 * never speaks, in activation or weights, keeps scale 1.
 */
export function chooseScales(
  site: SmoothingSite,
  activation: Float32Array,
  weight: Float32Array,
  { purpose, alpha }: SmoothingStrength,
): Float32Array {
  const x = foldShared(site, activation);
  const w = foldShared(site, weight);
  return x.map((magnitude, channel) => {
    if (!(magnitude > 0 && magnitude < Infinity && w[channel]! > 0)) return 1;
    const divisor = purpose === 'activations' ? w[channel]! ** (1 - alpha) : 1;
    return Math.min(Math.max(magnitude ** alpha / divisor, SMALLEST), LARGEST);
  });
}

/** Returns the largest magnitude of each channel. */
export function magnitudes({ min, max }: ChannelExtremes): Float32Array {
  return min.map((low, channel) => Math.max(-low, max[channel]!));
}

/** Returns the largest magnitude in each input channel over all layers of a site. Reads their weights. */
export async function weightMagnitudes(
  site: SmoothingSite,
  kernel: WeightKernel,
): Promise<Float32Array> {
  const [first] = site.layers;
  const maxima = new Float32Array(first!.inFeatures);
  for (const { weight } of site.layers) {
    const found = await absMax(weight.tensor, 1 - weight.outputAxis, kernel);
    found.forEach((magnitude, channel) => {
      if (magnitude > maxima[channel]!) maxima[channel] = magnitude;
    });
  }
  return maxima;
}

/** Returns the maximum over the input channels that share a scale. */
function foldShared({ channels, scaleOf }: SmoothingSite, values: Float32Array): Float32Array {
  if (scaleOf === undefined) return values;
  const folded = new Float32Array(channels);
  values.forEach((value, input) => {
    const channel = scaleOf[input]!;
    if (value > folded[channel]!) folded[channel] = value;
  });
  return folded;
}
