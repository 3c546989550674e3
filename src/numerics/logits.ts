/**
 * Measures on logits: rows of `classCount` unnormalised log-probabilities, one row per token or
 * image, row-major. All logarithms are natural (nats).
 */

/** Returns `log(sum(exp(row)))` without overflow; -Infinity when every value is. */
export function logSumExp(row: ArrayLike<number>): number {
  let max = -Infinity;
  for (let index = 0; index < row.length; index++) if (row[index]! > max) max = row[index]!;
  if (!Number.isFinite(max)) return max;
  let sum = 0;
  for (let index = 0; index < row.length; index++) sum += Math.exp(row[index]! - max);
  return max + Math.log(sum);
}

/**
 * Returns, for each row, the Kullback-Leibler divergence of the softmax of `candidate` from that of
 * `reference`, `sum p log(p / q)`, in nats. Classes to which the reference gives no probability add nothing.
 */
export function klDivergences(
  reference: Float32Array,
  candidate: Float32Array,
  classCount: number,
): Float64Array {
  const rows = rowCount(reference, classCount);
  checkLength('KL divergence', candidate.length, reference.length);
  return Float64Array.from({ length: rows }, (_, row) => {
    const p = reference.subarray(row * classCount, (row + 1) * classCount);
    const q = candidate.subarray(row * classCount, (row + 1) * classCount);
    const pNormal = logSumExp(p);
    const qNormal = logSumExp(q);
    let divergence = 0;
    for (let index = 0; index < classCount; index++) {
      const logP = p[index]! - pNormal;
      const probability = Math.exp(logP);
      if (probability > 0) divergence += probability * (logP - (q[index]! - qNormal));
    }
    // Rounding can leave something like -1e-17 where the rows are equal.
    return Math.max(divergence, 0);
  });
}

/**
 * Returns the class with the largest logit of each row, the first of equals. NaN never wins; a row of
 * only NaN gives -1, which agrees with no label.
 */
export function argmaxRows(logits: Float32Array, classCount: number): Int32Array {
  return Int32Array.from({ length: rowCount(logits, classCount) }, (_, row) => {
    let best = -1;
    let max = -Infinity;
    for (let index = 0; index < classCount; index++) {
      const value = logits[row * classCount + index]!;
      if (value > max || (best < 0 && value === max)) {
        max = value;
        best = index;
      }
    }
    return best;
  });
}

/** Returns the fraction of positions that hold the same class, 0..1; NaN for none. */
export function top1Agreement(first: ArrayLike<number>, second: ArrayLike<number>): number {
  checkLength('top-1', second.length, first.length);
  let same = 0;
  for (let index = 0; index < first.length; index++) {
    if (first[index] === second[index] && first[index]! >= 0) same++;
  }
  return same / first.length;
}

/**
 * Returns `-log softmax(row)[target]` of each row in nats. A target outside of `[0, classCount)`
 * (padding is -100 by custom) gives NaN, which the caller leaves out.
 */
export function negativeLogLikelihoods(
  logits: Float32Array,
  classCount: number,
  targets: ArrayLike<number>,
): Float64Array {
  const rows = rowCount(logits, classCount);
  checkLength('likelihood', targets.length, rows);
  return Float64Array.from({ length: rows }, (_, row) => {
    const values = logits.subarray(row * classCount, (row + 1) * classCount);
    const logit = values[targets[row]!];
    return logit === undefined ? NaN : logSumExp(values) - logit;
  });
}

/** Returns `exp(mean)` of likelihoods in nats, leaving out NaN; NaN when none is left. */
export function perplexity(likelihoods: ArrayLike<number>): number {
  let sum = 0;
  let count = 0;
  for (let index = 0; index < likelihoods.length; index++) {
    const value = likelihoods[index]!;
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return Math.exp(sum / count);
}

function rowCount(logits: Float32Array, classCount: number): number {
  const rows = logits.length / classCount;
  if (!Number.isInteger(rows)) {
    throw new RangeError(`logits: not whole rows (got ${logits.length} of ${classCount} classes)`);
  }
  return rows;
}

function checkLength(where: string, actual: number, expected: number): void {
  if (actual !== expected) {
    throw new RangeError(
      `${where}: arrays need equal lengths (got ${actual}, expected ${expected})`,
    );
  }
}
