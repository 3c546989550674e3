import { factorCholesky, inverseRoot } from '../../numerics/cholesky.ts';
import { inverseFactor } from '../../numerics/inverse-factor.ts';
import type { Matrix, MatrixProduct } from '../../numerics/matrix.ts';
import { NO_UNIT } from '../axis-rule.ts';
import { readAlongAxis } from '../read-along-axis.ts';
import type { UnitWeight } from '../unit-weights.ts';
import type { ChannelMoments, Importance } from './importance.ts';

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
  async score({ group, weights, moments, multiply }) {
    const scores = new Float64Array(group.unitCount);
    for (const weight of weights) {
      if (weight.consumer === undefined) continue;
      const seen = await moments(weight.consumer);
      if (seen?.gram === undefined) return 'its second moments are not known';
      const root = await dampedRoot(seen, seen.gram, multiply);
      if (root === undefined) return 'no sample reached its channels';
      const rows = await readAlongAxis(weight);
      for (const [unit, places] of placesOf(weight, group.unitCount).entries()) {
        scores[unit]! += lostError(root, rows, places);
      }
    }
    return scores;
  },
};

async function dampedRoot(
  { width, squares }: ChannelMoments,
  gram: Float32Array,
  multiply: MatrixProduct,
): Promise<Matrix | undefined> {
  const mean = squares.reduce((sum, square) => sum + square, 0) / width;
  if (!(mean > 0)) return undefined;
  const damped = Float64Array.from(gram);
  for (let index = 0; index < width; index++) damped[index * (width + 1)]! += DAMPING * mean;
  const factor = await factorCholesky({ rows: width, columns: width, values: damped }, multiply);
  return factor === undefined ? undefined : inverseRoot(factor, multiply);
}

function placesOf({ units }: UnitWeight, unitCount: number): readonly (readonly number[])[] {
  const places: number[][] = Array.from({ length: unitCount }, () => []);
  units.forEach((unit, place) => {
    if (unit !== NO_UNIT) places[unit]!.push(place);
  });
  return places;
}

/** `trace(W_S' inv([U U']_SS) W_S) / 2` for the upper triangular root U of the inverse. */
function lostError(
  root: Matrix,
  rows: { readonly values: Float32Array; readonly length: number },
  places: readonly number[],
): number {
  const size = places.length;
  const block = new Float64Array(size * size);
  for (let a = 0; a < size; a++) {
    for (let b = a; b < size; b++) {
      const product = productOfRows(root, places[a]!, places[b]!);
      block[a * size + b] = product;
      block[b * size + a] = product;
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

/** Left of its diagonal a row is zero. */
function productOfRows({ columns, values }: Matrix, left: number, right: number): number {
  let sum = 0;
  for (let index = Math.max(left, right); index < columns; index++) {
    sum += values[left * columns + index]! * values[right * columns + index]!;
  }
  return sum;
}
