import { inverseFactor } from '../../numerics/inverse-factor.ts';
import { NO_UNIT } from '../axis-rule.ts';
import { widthOf } from '../consumer-columns.ts';
import type { UnitWeight } from '../unit-weights.ts';
import { readColumns } from '../weight-columns.ts';
import type { Importance } from './importance.ts';

/** Share of the mean squared activation that is added to each. */
const DAMPING = 0.01;

/**
 * What least squares cannot restore of the output when a unit goes: `trace(W' [inv(G)]^-1 W) / 2` over the channels
 * of the unit (Optimal Brain Surgeon, Hassibi and Stork 1993; OSSCAR, Meng et al. 2024), each unit by itself.
 */
export const obs: Importance = {
  name: 'obs',
  description: 'error of the output that is left when the other channels make up for a channel',
  needs: 'moments',
  async score({ group, weights, moments }) {
    const scores = new Float64Array(group.unitCount);
    for (const weight of weights) {
      const { consumer, columns } = weight;
      if (consumer === undefined || columns === undefined) continue;
      const seen = await moments(consumer);
      if (seen?.gram === undefined || seen.width !== widthOf(columns)) {
        return 'its second moments are not known';
      }
      const known = columns.bias === undefined ? seen.gram : aboutMeans(seen.gram, seen.width);
      const width = columns.channels * columns.taps;
      const factor = dampedFactor(known, width);
      if (factor === undefined) return 'no sample reached its channels';
      const rows = await readColumns({ ...weight, columns });
      for (const [unit, places] of placesOf(weight, columns.taps, group.unitCount).entries()) {
        scores[unit]! += lostError(factor, width, rows, places);
      }
    }
    return scores;
  },
};

/** A bias makes up for means: moments about them, without the column of ones. */
function aboutMeans(gram: Float32Array, width: number): Float32Array {
  const size = width - 1;
  const last = size * width;
  const result = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    const mean = gram[last + row]! / gram[last + size]!;
    for (let column = 0; column < size; column++) {
      result[row * size + column] = gram[row * width + column]! - mean * gram[last + column]!;
    }
  }
  return result;
}

function dampedFactor(gram: Float32Array, width: number): Float64Array | undefined {
  let trace = 0;
  for (let index = 0; index < width; index++) trace += gram[index * (width + 1)]!;
  return trace > 0 ? inverseFactor(gram, width, (DAMPING * trace) / width) : undefined;
}

/** The columns of each unit. */
function placesOf(
  { units }: UnitWeight,
  taps: number,
  unitCount: number,
): readonly (readonly number[])[] {
  const places: number[][] = Array.from({ length: unitCount }, () => []);
  units.forEach((unit, index) => {
    if (unit === NO_UNIT) return;
    for (let tap = 0; tap < taps; tap++) places[unit]!.push(index * taps + tap);
  });
  return places;
}

/** `trace(W_S' inv([U' U]_SS) W_S) / 2` for the upper triangular factor U of the inverse. */
function lostError(
  factor: Float64Array,
  width: number,
  rows: { readonly values: Float32Array; readonly length: number },
  places: readonly number[],
): number {
  const size = places.length;
  const block = new Float64Array(size * size);
  for (let a = 0; a < size; a++) {
    for (let b = a; b < size; b++) {
      let sum = 0;
      const [left, right] = [places[a]!, places[b]!];
      for (let row = 0; row <= Math.min(left, right); row++) {
        sum += factor[row * width + left]! * factor[row * width + right]!;
      }
      block[a * size + b] = sum;
      block[b * size + a] = sum;
    }
  }
  // With inv(block) = V' V the trace is the sum of squares of V W_S.
  const inverse = inverseFactor(block, size, 0);
  if (inverse === undefined) return Number.POSITIVE_INFINITY;
  let error = 0;
  for (let a = 0; a < size; a++) {
    for (let column = 0; column < rows.length; column++) {
      let sum = 0;
      for (let b = a; b < size; b++) {
        sum += inverse[a * size + b]! * rows.values[places[b]! * rows.length + column]!;
      }
      error += sum * sum;
    }
  }
  return error / 2;
}
