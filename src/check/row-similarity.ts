/**
 * How far the artifact is from the source row by row. Sums over all elements are ruled by the loudest:
 * one token with a huge activation hides that all others are lost. A row is one token, one position,
 * one sample; rows count alike here, however loud they are.
 */
import { quantile } from '../numerics/quantile.ts';
import {
  EMPTY_SKETCH,
  mergeSketches,
  type QuantileSketch,
  sketchQuantile,
  sketchValues,
} from '../numerics/quantile-sketch.ts';
import { cosine, type Similarity, sqnrDecibels } from '../numerics/similarity.ts';
import type { OutputSimilarity, RowSimilarity } from './check-result.ts';

/**
 * dB at which rows count as equal: float32 carries 24 bits, 144 dB. Without it the mean over rows
 * would be infinite as soon as one row is equal to the bit.
 */
export const EQUAL_DB = 150;

/** Share of rows that are worse than the percentile in a report. */
const LOW = 0.01;

/**
 * Rows with less than this share of the energy of their sample's median row (40 dB below) have no
 * direction worth comparing: dead channels after a ReLU, rows that a mask has emptied.
 */
const SILENT = 1e-4;

/** Mergeable sums over rows. */
export interface RowSums {
  readonly count: number;
  readonly silent: number;
  readonly cosines: number;
  readonly worstCosine: number;
  readonly decibels: number;
  readonly worstDecibels: number;
  /** Of 1 - cosine. */
  readonly distances: QuantileSketch;
  /** Of sum error^2 / sum source^2. */
  readonly noise: QuantileSketch;
}

/** The sums of no rows; identity of {@link mergeRows}. */
export const NO_ROWS: RowSums = {
  count: 0,
  silent: 0,
  cosines: 0,
  worstCosine: Infinity,
  decibels: 0,
  worstDecibels: Infinity,
  distances: EMPTY_SKETCH,
  noise: EMPTY_SKETCH,
};

/**
 * Returns the number of elements of a row of an output: the last axis that is longer than 1; 1 when
 * there is none, because a single element has no direction, and 0 for an empty output.
 */
export function rowLengthOf(dims: readonly number[]): number {
  return dims.includes(0) ? 0 : (dims.findLast((dim) => dim > 1) ?? 1);
}

/** Returns the cosine of a row or an output; exactly 1 for equal ones, which square roots would miss. */
export function cosineOf(similarity: Similarity): number {
  return similarity.errorSquares === 0 ? 1 : cosine(similarity);
}

/** Returns the sums of the rows of one sample; silent ones are counted apart. */
export function observeRows(rows: readonly Similarity[]): RowSums {
  if (rows.length === 0) return NO_ROWS;
  const typical = quantile(
    rows.map(({ referenceSquares }) => referenceSquares),
    0.5,
  );
  const heard = rows.filter(
    ({ referenceSquares }) => referenceSquares > 0 && referenceSquares >= SILENT * typical,
  );
  const cosines = heard.map(cosineOf);
  const decibels = heard.map((row) => Math.min(EQUAL_DB, sqnrDecibels(row)));
  return {
    count: heard.length,
    silent: rows.length - heard.length,
    cosines: sum(cosines),
    worstCosine: least(cosines),
    decibels: sum(decibels),
    worstDecibels: least(decibels),
    distances: sketchValues(cosines.map((value) => 1 - value)),
    noise: sketchValues(
      heard.map(({ errorSquares, referenceSquares }) => errorSquares / referenceSquares),
    ),
  };
}

/** Returns the sums of two disjoint groups of rows. */
export function mergeRows(a: RowSums, b: RowSums): RowSums {
  return {
    count: a.count + b.count,
    silent: a.silent + b.silent,
    cosines: a.cosines + b.cosines,
    worstCosine: Math.min(a.worstCosine, b.worstCosine),
    decibels: a.decibels + b.decibels,
    worstDecibels: Math.min(a.worstDecibels, b.worstDecibels),
    distances: mergeSketches(a.distances, b.distances),
    noise: mergeSketches(a.noise, b.noise),
  };
}

/** Returns the figures that a report shows, or null when no row was compared. */
export function summarizeRows(sums: RowSums): RowSimilarity | null {
  if (sums.count === 0) return null;
  const noise = sketchQuantile(sums.noise, 1 - LOW);
  return {
    count: sums.count,
    silent: sums.silent,
    cosine: {
      mean: sums.cosines / sums.count,
      p1: 1 - sketchQuantile(sums.distances, 1 - LOW),
      worst: sums.worstCosine,
    },
    sqnrDb: {
      mean: sums.decibels / sums.count,
      p1: Math.min(EQUAL_DB, -10 * Math.log10(noise)),
      worst: sums.worstDecibels,
    },
  };
}

/**
 * Returns the cosine that an output can be judged by: the worse of that of all elements together and
 * the mean over rows, so that neither a loud row hides the others nor a lost row goes unnoticed.
 * Null when a value is not finite or there is none.
 */
export function judgedCosine({ cosine: together, rows }: OutputSimilarity): number | null {
  return together === null ? null : Math.min(together, rows?.cosine.mean ?? 1);
}

/** Returns the SQNR in dB that an output can be judged by, as {@link judgedCosine}; 150 for equal ones. */
export function judgedSqnr({ sqnrDb, maxAbsError, rows }: OutputSimilarity): number | null {
  if (maxAbsError === null) return null;
  if (maxAbsError === 0) return EQUAL_DB;
  return sqnrDb === null ? null : Math.min(sqnrDb, rows?.sqnrDb.mean ?? EQUAL_DB);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Not Math.min(...values): an output may have more rows than a call has arguments. */
function least(values: readonly number[]): number {
  return values.reduce((low, value) => Math.min(low, value), Infinity);
}
