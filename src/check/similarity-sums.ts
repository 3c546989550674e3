import {
  addSimilarities,
  compareArrays,
  EMPTY_SIMILARITY,
  type Similarity,
  sqnrDecibels,
} from '../numerics/similarity.ts';
import type { OutputSimilarity } from './check-result.ts';
import {
  cosineOf,
  mergeRows,
  NO_ROWS,
  observeRows,
  type RowSums,
  rowLengthOf,
  summarizeRows,
} from './row-similarity.ts';

/** One output of one sample from both models. */
export interface OutputPair {
  readonly source: Float32Array;
  readonly artifact: Float32Array;
  readonly dims: readonly number[];
  /** 0 where a row is padding, which is left out of the figures by row; absent when none is. */
  readonly rowMask?: ArrayLike<number | bigint>;
}

/** Mergeable sums of how far one output of the artifact is from that of the source. */
export interface SimilaritySums {
  readonly all: Similarity;
  /** Lowest cosine of one sample of more than one element; Infinity for none. */
  readonly worstCosine: number;
  readonly rows: RowSums;
  /** Elements that are NaN or infinite in one model and not the same in the other. */
  readonly nonFiniteMismatches: number;
}

/** The sums of nothing; identity of {@link mergeSimilarity}. */
export const NO_SIMILARITY: SimilaritySums = {
  all: EMPTY_SIMILARITY,
  worstCosine: Infinity,
  rows: NO_ROWS,
  nonFiniteMismatches: 0,
};

/** Returns the sums of one sample. Equal infinities and NaN on both sides (masks) are no mismatch. */
export function observeSimilarity(pair: OutputPair): SimilaritySums {
  const { source, artifact, dims, rowMask } = pair;
  const length = rowLengthOf(dims);
  const all: Similarity[] = [];
  const rows: Similarity[] = [];
  const count = length === 0 ? 0 : source.length / length;
  for (let row = 0; row < count; row++) {
    const [start, end] = [row * length, (row + 1) * length];
    const own = compareArrays(source.subarray(start, end), artifact.subarray(start, end));
    all.push(own);
    if (length > 1 && Number(rowMask?.[row] ?? 1) !== 0) rows.push(own);
  }
  const total = all.reduce(addSimilarities, EMPTY_SIMILARITY);
  return {
    all: total,
    worstCosine: source.length > 1 ? cosineOf(total) : Infinity,
    rows: observeRows(rows),
    nonFiniteMismatches: total.nonFiniteCount === 0 ? 0 : countMismatches(source, artifact),
  };
}

function countMismatches(source: Float32Array, artifact: Float32Array): number {
  let count = 0;
  for (let index = 0; index < source.length; index++) {
    const a = source[index]!;
    const b = artifact[index]!;
    if (!Number.isFinite(a - b) && !Object.is(a, b)) count++;
  }
  return count;
}

/** Returns the sums of two disjoint groups of samples. */
export function mergeSimilarity(a: SimilaritySums, b: SimilaritySums): SimilaritySums {
  return {
    all: addSimilarities(a.all, b.all),
    worstCosine: Math.min(a.worstCosine, b.worstCosine),
    rows: mergeRows(a.rows, b.rows),
    nonFiniteMismatches: a.nonFiniteMismatches + b.nonFiniteMismatches,
  };
}

/** Returns the figures that a report shows; null where a value that is not finite leaves none. */
export function summarizeSimilarity(name: string, sums: SimilaritySums): OutputSimilarity {
  const { all, nonFiniteMismatches, worstCosine } = sums;
  const isDefined = all.count > 0 && nonFiniteMismatches === 0;
  const sqnr = sqnrDecibels(all);
  return {
    name,
    elements: all.count + all.nonFiniteCount,
    cosine: isDefined ? cosineOf(all) : null,
    worstSampleCosine: isDefined && worstCosine !== Infinity ? worstCosine : null,
    sqnrDb: isDefined && Number.isFinite(sqnr) ? sqnr : null,
    rows: isDefined ? summarizeRows(sums.rows) : null,
    maxAbsError: isDefined ? all.maxAbsoluteError : null,
    nonFiniteMismatches,
  };
}
