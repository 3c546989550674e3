import {
  addSimilarities,
  compareArrays,
  cosine,
  EMPTY_SIMILARITY,
  type Similarity,
  sqnrDecibels,
} from '../numerics/similarity.ts';
import type { OutputSimilarity } from './check-result.ts';

/** Mergeable sums of how far one output of the artifact is from that of the source. */
export interface SimilaritySums {
  readonly all: Similarity;
  /** Lowest cosine of one sample; Infinity for none. */
  readonly worstCosine: number;
  /** Elements that are NaN or infinite in one model and not the same in the other. */
  readonly nonFiniteMismatches: number;
}

/** The sums of nothing; identity of {@link mergeSimilarity}. */
export const NO_SIMILARITY: SimilaritySums = {
  all: EMPTY_SIMILARITY,
  worstCosine: Infinity,
  nonFiniteMismatches: 0,
};

/** Returns the sums of one sample. Equal infinities and NaN on both sides (masks) are no mismatch. */
export function observeSimilarity(source: Float32Array, artifact: Float32Array): SimilaritySums {
  const all = compareArrays(source, artifact);
  return {
    all,
    worstCosine: cosineOf(all),
    nonFiniteMismatches: all.nonFiniteCount === 0 ? 0 : countMismatches(source, artifact),
  };
}

/** Square roots leave 0.9999999999999999 where nothing differs; equal outputs are exactly 1. */
function cosineOf(all: Similarity): number {
  return all.errorSquares === 0 ? 1 : cosine(all);
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
    worstSampleCosine: isDefined ? worstCosine : null,
    sqnrDb: isDefined && Number.isFinite(sqnr) ? sqnr : null,
    maxAbsError: isDefined ? all.maxAbsoluteError : null,
    nonFiniteMismatches,
  };
}
