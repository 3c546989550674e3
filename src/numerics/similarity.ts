/**
 * How far one array is from another. Sums are kept apart from what is derived from them, so that
 * samples can be compared one at a time and added.
 */

/** Sums over pairs of a reference value and the value that stands in for it. */
export interface Similarity {
  readonly count: number;
  readonly dot: number;
  readonly referenceSquares: number;
  readonly candidateSquares: number;
  readonly errorSquares: number;
  readonly absoluteErrors: number;
  readonly maxAbsoluteError: number;
  /** Pairs in which either side is NaN or infinite; they are in no other sum. */
  readonly nonFiniteCount: number;
}

/** The comparison of no pairs, identity of {@link addSimilarities}. */
export const EMPTY_SIMILARITY: Similarity = {
  count: 0,
  dot: 0,
  referenceSquares: 0,
  candidateSquares: 0,
  errorSquares: 0,
  absoluteErrors: 0,
  maxAbsoluteError: 0,
  nonFiniteCount: 0,
};

/** Compares arrays element by element, in float64. Throws RangeError when lengths differ. */
export function compareArrays(
  reference: ArrayLike<number>,
  candidate: ArrayLike<number>,
): Similarity {
  if (reference.length !== candidate.length) {
    throw new RangeError(
      `compare: arrays need equal lengths (got ${reference.length} and ${candidate.length})`,
    );
  }
  let dot = 0;
  let referenceSquares = 0;
  let candidateSquares = 0;
  let errorSquares = 0;
  let absoluteErrors = 0;
  let maxAbsoluteError = 0;
  let nonFiniteCount = 0;
  for (let index = 0; index < reference.length; index++) {
    const expected = reference[index]!;
    const actual = candidate[index]!;
    const error = Math.abs(actual - expected);
    if (!Number.isFinite(error)) {
      nonFiniteCount++;
      continue;
    }
    dot += expected * actual;
    referenceSquares += expected * expected;
    candidateSquares += actual * actual;
    errorSquares += error * error;
    absoluteErrors += error;
    if (error > maxAbsoluteError) maxAbsoluteError = error;
  }
  return {
    count: reference.length - nonFiniteCount,
    dot,
    referenceSquares,
    candidateSquares,
    errorSquares,
    absoluteErrors,
    maxAbsoluteError,
    nonFiniteCount,
  };
}

/** Returns the comparison of the pairs of both. */
export function addSimilarities(first: Similarity, second: Similarity): Similarity {
  return {
    count: first.count + second.count,
    dot: first.dot + second.dot,
    referenceSquares: first.referenceSquares + second.referenceSquares,
    candidateSquares: first.candidateSquares + second.candidateSquares,
    errorSquares: first.errorSquares + second.errorSquares,
    absoluteErrors: first.absoluteErrors + second.absoluteErrors,
    maxAbsoluteError: Math.max(first.maxAbsoluteError, second.maxAbsoluteError),
    nonFiniteCount: first.nonFiniteCount + second.nonFiniteCount,
  };
}

/** Returns the cosine of the angle, -1..1; 1 when both sides are all zero, 0 when only one is. */
export function cosine(similarity: Similarity): number {
  const { dot, referenceSquares, candidateSquares } = similarity;
  if (referenceSquares === 0 && candidateSquares === 0) return 1;
  // Square roots first: the product of two sums of squares may overflow.
  const length = Math.sqrt(referenceSquares) * Math.sqrt(candidateSquares);
  return length === 0 ? 0 : Math.min(Math.max(dot / length, -1), 1);
}

/**
 * Returns the signal to quantization noise ratio, `10 log10(sum reference^2 / sum error^2)`, in dB.
 * Infinity when there is no error, -Infinity when there is error and no signal.
 */
export function sqnrDecibels(similarity: Similarity): number {
  const { referenceSquares, errorSquares } = similarity;
  return errorSquares === 0 ? Infinity : 10 * Math.log10(referenceSquares / errorSquares);
}

/** Returns the mean of |candidate - reference|; 0 for no pairs. */
export function meanAbsoluteError(similarity: Similarity): number {
  return similarity.count === 0 ? 0 : similarity.absoluteErrors / similarity.count;
}
