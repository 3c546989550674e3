/**
 * How much a quantizer would hurt values of which only the histogram is known. Values are taken as
 * spread evenly inside each bin, and the squared error is integrated exactly over the bin: sampling
 * bin centres would beat against the quantizer's grid where both are about as fine.
 */
import type { AffineParameters, Range } from '../../numerics/affine.ts';
import { binWidth, type Histogram } from '../../numerics/histogram.ts';

/**
 * Returns the sum of squared errors when the histogram's values are quantized with `parameters`
 * whose integers reach the real values `reach`. A search gives the error it has to beat as `atMost`:
 * once that is passed the sum so far is returned.
 */
export function quantizationError(
  histogram: Histogram,
  parameters: AffineParameters,
  reach: Range,
  atMost = Infinity,
): number {
  const { counts } = histogram;
  const width = binWidth(histogram);
  const half = counts.length / 2;
  const { scale } = parameters;
  let error = 0;
  let edge = NaN;
  let atEdge = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const count = counts[bin]!;
    if (count === 0) continue;
    const low = (bin - half) * width;
    const high = low + width;
    const before = edge === low ? atEdge : errorIntegral(low, scale, reach);
    atEdge = errorIntegral(high, scale, reach);
    edge = high;
    error += (count / width) * (atEdge - before);
    if (error > atMost) break;
  }
  return error;
}

/**
 * Returns the sum of squares of the histogram's values: what SQNR compares
 * {@link quantizationError} with.
 */
export function histogramEnergy(histogram: Histogram): number {
  const width = binWidth(histogram);
  const half = histogram.counts.length / 2;
  return histogram.counts.reduce((energy, count, bin) => {
    const low = (bin - half) * width;
    // The mean of x^2 over [low, low + width].
    return energy + count * (low * low + low * width + (width * width) / 3);
  }, 0);
}

/**
 * The integral from 0 to `x` of the squared distance to the grid `k * scale`, or to the end of
 * `reach` beyond it. Zero is on the grid, so between grid points this is a sawtooth of parabolas.
 */
function errorIntegral(x: number, scale: number, reach: Range): number {
  if (x > reach.max) return gridIntegral(reach.max, scale) + (x - reach.max) ** 3 / 3;
  if (x < reach.min) return gridIntegral(reach.min, scale) + (x - reach.min) ** 3 / 3;
  return gridIntegral(x, scale);
}

function gridIntegral(x: number, scale: number): number {
  const steps = Math.round(x / scale);
  const rest = x - steps * scale;
  return (steps * scale * scale * scale) / 12 + (rest * rest * rest) / 3;
}
