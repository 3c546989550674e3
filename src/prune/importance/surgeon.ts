import { factorCholesky, inverseRoot } from '../../numerics/cholesky.ts';
import { inverseFactor } from '../../numerics/inverse-factor.ts';
import {
  type Matrix,
  type MatrixProduct,
  subtractProduct,
  transpose,
} from '../../numerics/matrix.ts';
import type { ColumnRows } from '../weight-columns.ts';

/** Share of the mean squared activation that is added to each. */
const DAMPING = 0.01;

/** A weight from which input channels are taken, the others making up for them as they go. */
export interface Operation {
  /** Inverse of the damped second moments, `[width, width]`; zero where a channel is gone. */
  readonly inverse: Matrix;
  /** The weight as it has become, `[width, outputs]`; zero where a channel is gone. */
  readonly rows: Matrix;
}

/** Returns the weight and the second moments of what it sums over, before anything is taken; undefined when no sample reached its channels. */
export async function openOperation(
  gram: Float32Array,
  { values, length }: ColumnRows,
  multiply: MatrixProduct,
): Promise<Operation | undefined> {
  const width = Math.sqrt(gram.length);
  let trace = 0;
  for (let index = 0; index < width; index++) trace += gram[index * (width + 1)]!;
  const mean = trace / width;
  if (!(mean > 0)) return undefined;
  const damped = Float64Array.from(gram);
  for (let index = 0; index < width; index++) damped[index * (width + 1)]! += DAMPING * mean;
  const factor = await factorCholesky({ rows: width, columns: width, values: damped }, multiply);
  if (factor === undefined) return undefined;
  const root = await inverseRoot(factor, multiply);
  return {
    inverse: await multiply(root, root),
    rows: {
      rows: width,
      columns: length,
      values: Float64Array.from(values.subarray(0, width * length)),
    },
  };
}

/**
 * Returns what least squares cannot restore of the output when these channels go as well:
 * `trace(W_S' inv(inverse_SS) W_S) / 2` (Hassibi and Stork 1993).
 */
export function lostError({ inverse, rows }: Operation, places: readonly number[]): number {
  const [only] = places;
  if (only !== undefined && places.length === 1) return lostAlone({ inverse, rows }, only);
  const scaled = scaledRows({ inverse, rows }, places);
  if (scaled === undefined) return Number.POSITIVE_INFINITY;
  return scaled.values.reduce((sum, value) => sum + value * value, 0) / 2;
}

/** The same of one channel: `|w|^2 / inverse_jj / 2`. */
function lostAlone({ inverse, rows }: Operation, place: number): number {
  const pivot = inverse.values[place * (inverse.columns + 1)]!;
  if (!(pivot > 0)) return Number.POSITIVE_INFINITY;
  const { columns, values } = rows;
  let squares = 0;
  for (let index = place * columns; index < (place + 1) * columns; index++) {
    squares += values[index]! ** 2;
  }
  return squares / pivot / 2;
}

/** V W_S `[places, outputs]` for the upper triangular V with inv(inverse_SS) = V' V. */
function scaledRows(
  { inverse, rows }: Operation,
  places: readonly number[],
  factor: Float64Array | undefined = factorOf(inverse, places),
): Matrix | undefined {
  if (factor === undefined) return undefined;
  const size = places.length;
  const { columns } = rows;
  const values = new Float64Array(size * columns);
  for (let a = 0; a < size; a++) {
    for (let b = a; b < size; b++) {
      const weight = factor[a * size + b]!;
      const from = places[b]! * columns;
      for (let column = 0; column < columns; column++) {
        values[a * columns + column]! += weight * rows.values[from + column]!;
      }
    }
  }
  return { rows: size, columns, values };
}

function factorOf(
  { columns, values }: Matrix,
  places: readonly number[],
): Float64Array | undefined {
  const block = places.flatMap((row) => places.map((column) => values[row * columns + column]!));
  return inverseFactor(block, places.length, 0);
}

/**
 * Takes channels away: the others take on what they can of them, `W -= P inv(P_S) W_S` with P the columns of the
 * inverse, and the inverse becomes that of the channels that stay, `inverse -= P inv(P_S) P'` (OSSCAR, Meng et al. 2024).
 */
export async function removeChannels(
  operation: Operation,
  places: readonly number[],
  multiply: MatrixProduct,
): Promise<void> {
  const { inverse, rows } = operation;
  const factor = factorOf(inverse, places);
  const scaled = scaledRows(operation, places, factor);
  if (factor === undefined || scaled === undefined) return;
  const size = places.length;
  const width = inverse.rows;
  const columnsOfInverse = new Float64Array(width * size);
  for (let row = 0; row < width; row++) {
    places.forEach((place, at) => {
      columnsOfInverse[row * size + at] = inverse.values[row * width + place]!;
    });
  }
  const columns: Matrix = { rows: width, columns: size, values: columnsOfInverse };
  const reached = await multiply(columns, { rows: size, columns: size, values: factor });
  subtractProduct(inverse, reached, transpose(reached));
  subtractProduct(rows, reached, scaled);
  clearChannels(operation, places);
}

/** What rounding left of channels that are gone. */
function clearChannels({ inverse, rows }: Operation, places: readonly number[]): void {
  for (const place of places) {
    rows.values.fill(0, place * rows.columns, (place + 1) * rows.columns);
    inverse.values.fill(0, place * inverse.columns, (place + 1) * inverse.columns);
    for (let row = 0; row < inverse.rows; row++) inverse.values[row * inverse.columns + place] = 0;
  }
}
