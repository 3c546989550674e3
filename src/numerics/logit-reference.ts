/**
 * A model's logits kept in the form in which many candidates are compared with them fast: one
 * exponential per logit of the candidate and none of the reference.
 */

/** What a row that nobody judges has as its target (padding is -100 by custom). */
export const NO_TARGET = -100;

/** Logits of a reference, `rowCount` rows of `classCount`. */
export interface LogitReference {
  readonly classCount: number;
  /** Softmax, row-major. The only large array. */
  readonly probabilities: Float32Array;
  readonly rows: ReferenceRows;
}

/** What is kept of each row besides its probabilities. */
export interface ReferenceRows {
  /** `sum p log p` and `sum p` of the probabilities as rounded to float32. */
  readonly negativeEntropies: Float64Array;
  readonly probabilitySums: Float64Array;
  /** Class with the largest logit; -1 where every logit is NaN. */
  readonly best: Int32Array;
  /** `-log p[target]` in nats; NaN without a target. */
  readonly likelihoods: Float64Array;
  /** The right class of each row, or {@link NO_TARGET}. */
  readonly targets: Int32Array;
}

/** How far the logits of a model are from those of another. */
export interface LogitFigures {
  /** Positions whose logits were compared. */
  readonly positions: number;
  /** Null when it is not finite. */
  readonly klNats: number | null;
  /** Share of positions with the same best class, 0..1. */
  readonly agreement: number;
  /** Null without next tokens to judge by. */
  readonly perplexityRatio: number | null;
  /** Null without labels or next tokens. */
  readonly dropPoints: number | null;
}

/** Sums over rows of how a candidate differs from the reference; sums of disjoint rows add up. */
export interface LogitSums {
  readonly rows: number;
  /** KL(reference || candidate) in nats. */
  readonly klNats: number;
  /** Rows whose best class is the same. */
  readonly agreements: number;
  /** Rows with a target; the figures below are about these. */
  readonly judged: number;
  readonly referenceNll: number;
  readonly candidateNll: number;
  readonly referenceRight: number;
  readonly candidateRight: number;
}

/** The sums of no rows. */
export const NO_LOGIT_SUMS: LogitSums = {
  rows: 0,
  klNats: 0,
  agreements: 0,
  judged: 0,
  referenceNll: 0,
  candidateNll: 0,
  referenceRight: 0,
  candidateRight: 0,
};

interface RowScan {
  readonly best: number;
  readonly logSumExp: number;
}

/** The probabilities take the place of the logits: `logits` is overwritten and kept. */
export function makeLogitReference(
  logits: Float32Array,
  classCount: number,
  targets: Int32Array,
): LogitReference {
  const rowCount = logits.length / classCount;
  if (rowCount !== targets.length) {
    throw new RangeError(
      `logits: one target per row (got ${targets.length}, expected ${rowCount})`,
    );
  }
  const rows = {
    negativeEntropies: new Float64Array(rowCount),
    probabilitySums: new Float64Array(rowCount),
    best: new Int32Array(rowCount),
    likelihoods: new Float64Array(rowCount),
    targets,
  };
  for (let row = 0; row < rowCount; row++) {
    const values = logits.subarray(row * classCount, (row + 1) * classCount);
    const { best, logSumExp } = scanRow(values);
    rows.best[row] = best;
    rows.likelihoods[row] = logSumExp - (values[targets[row]!] ?? NaN);
    let entropy = 0;
    let total = 0;
    for (let index = 0; index < classCount; index++) {
      const logProbability = values[index]! - logSumExp;
      const probability = Math.fround(Math.exp(logProbability));
      values[index] = probability;
      total += probability;
      if (probability > 0) entropy += probability * logProbability;
    }
    rows.negativeEntropies[row] = entropy;
    rows.probabilitySums[row] = total;
  }
  return { classCount, probabilities: logits, rows };
}

/**
 * Returns how `candidate` logits, of the same rows and classes, differ from the reference:
 * `KL = sum p log p - sum p x + log sum exp x * sum p` with `x` the candidate's logits. NaN or
 * infinite logits give a KL of NaN or infinity.
 */
export function compareWithReference(
  { classCount, probabilities, rows }: LogitReference,
  candidate: Float32Array,
): LogitSums {
  if (candidate.length !== probabilities.length) {
    throw new RangeError(
      `logits: the shapes differ (got ${candidate.length} values, expected ${probabilities.length})`,
    );
  }
  const sums = { ...NO_LOGIT_SUMS, rows: rows.best.length };
  for (let row = 0; row < rows.best.length; row++) {
    const start = row * classCount;
    const values = candidate.subarray(start, start + classCount);
    const { best, logSumExp } = scanRow(values);
    let dot = 0;
    for (let index = 0; index < classCount; index++) {
      const probability = probabilities[start + index]!;
      if (probability > 0) dot += probability * values[index]!;
    }
    const divergence = rows.negativeEntropies[row]! - dot + logSumExp * rows.probabilitySums[row]!;
    // Rounding can leave something like -1e-9 where the rows are equal.
    sums.klNats += Math.max(divergence, 0);
    const isSame = best >= 0 && best === rows.best[row];
    if (isSame) sums.agreements++;
    const target = rows.targets[row]!;
    if (Number.isNaN(rows.likelihoods[row]!)) continue;
    sums.judged++;
    sums.referenceNll += rows.likelihoods[row]!;
    sums.candidateNll += logSumExp - values[target]!;
    if (rows.best[row] === target) sums.referenceRight++;
    if (best === target) sums.candidateRight++;
  }
  return sums;
}

/** Returns the sums of two disjoint sets of rows. */
export function mergeLogitSums(a: LogitSums, b: LogitSums): LogitSums {
  return {
    rows: a.rows + b.rows,
    klNats: a.klNats + b.klNats,
    agreements: a.agreements + b.agreements,
    judged: a.judged + b.judged,
    referenceNll: a.referenceNll + b.referenceNll,
    candidateNll: a.candidateNll + b.candidateNll,
    referenceRight: a.referenceRight + b.referenceRight,
    candidateRight: a.candidateRight + b.candidateRight,
  };
}

function scanRow(values: Float32Array): RowScan {
  let best = -1;
  let max = -Infinity;
  for (let index = 0; index < values.length; index++) {
    if (values[index]! > max) {
      max = values[index]!;
      best = index;
    }
  }
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += Math.exp(values[index]! - max);
  return { best, logSumExp: max + Math.log(sum) };
}
