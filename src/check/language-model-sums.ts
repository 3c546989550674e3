import { UsageError } from '../errors.ts';
import { argmaxRows, klDivergences, negativeLogLikelihoods } from '../numerics/logits.ts';
import {
  EMPTY_SKETCH,
  mergeSketches,
  type QuantileSketch,
  sketchValues,
} from '../numerics/quantile-sketch.ts';
import type { LanguageModelAccuracy } from './check-result.ts';
import { klFigures } from './kl-figures.ts';
import {
  type ClusterSums,
  clusterMeanInterval,
  clusterOf,
  mergeClusters,
  NO_CLUSTERS,
} from './paired-interval.ts';

/** Token ids of one run, row by row. */
export interface TokenBatch {
  /** Tokens per row. */
  readonly length: number;
  readonly ids: ArrayLike<number | bigint>;
  /** 0 where a position is padding; absent when none is. */
  readonly mask?: ArrayLike<number | bigint>;
}

/** Logits [batch, positions, vocabulary] of both models for the same tokens. */
export interface LogitBatch {
  readonly source: Float32Array;
  readonly artifact: Float32Array;
  readonly dims: readonly number[];
}

/** Mergeable sums over positions; a row of a batch is one cluster. */
export interface LanguageModelSums {
  readonly positions: number;
  readonly agreements: number;
  readonly klNats: number;
  /** KL of every position. */
  readonly klSketch: QuantileSketch;
  readonly predictedTokens: number;
  readonly sourceNll: number;
  readonly artifactNll: number;
  readonly sourceRight: number;
  readonly artifactRight: number;
  /** Per token: NLL of the artifact - NLL of the source. */
  readonly nllIncrease: ClusterSums;
  /** Per token: 1 when only the source was right, -1 when only the artifact was. */
  readonly rightLost: ClusterSums;
}

/** The sums of nothing; identity of {@link mergeLanguageModel}. */
export const NO_LANGUAGE_MODEL: LanguageModelSums = {
  positions: 0,
  agreements: 0,
  klNats: 0,
  klSketch: EMPTY_SKETCH,
  predictedTokens: 0,
  sourceNll: 0,
  artifactNll: 0,
  sourceRight: 0,
  artifactRight: 0,
  nllIncrease: NO_CLUSTERS,
  rightLost: NO_CLUSTERS,
};

/** A position without a next token to be judged by; gives a likelihood of NaN. */
const NO_TARGET = -100;

/**
 * Returns the sums of one run. Logits of position t are judged by token t + 1, where both are no
 * padding; a model that returns the last position alone is compared there without perplexity.
 * Throws UsageError for a token outside the vocabulary.
 */
export function observeLanguageModel(logits: LogitBatch, tokens: TokenBatch): LanguageModelSums {
  const [batch = 0, length = 0, vocabulary = 0] = logits.dims;
  const { isToken, targets } = alignTokens(logits.dims, tokens);
  const kl = klDivergences(logits.source, logits.artifact, vocabulary);
  const best = {
    source: argmaxRows(logits.source, vocabulary),
    artifact: argmaxRows(logits.artifact, vocabulary),
  };
  const nll = {
    source: negativeLogLikelihoods(logits.source, vocabulary, targets),
    artifact: negativeLogLikelihoods(logits.artifact, vocabulary, targets),
  };
  let sums = NO_LANGUAGE_MODEL;
  for (let row = 0; row < batch; row++) {
    const own = { positions: 0, agreements: 0, klNats: 0, predictedTokens: 0 };
    const sides = { sourceNll: 0, artifactNll: 0, sourceRight: 0, artifactRight: 0 };
    for (let index = row * length; index < (row + 1) * length; index++) {
      if (isToken[index] === 0) continue;
      own.positions++;
      own.klNats += kl[index]!;
      if (best.source[index]! >= 0 && best.source[index] === best.artifact[index]) own.agreements++;
      const target = targets[index]!;
      if (target === NO_TARGET) continue;
      own.predictedTokens++;
      sides.sourceNll += nll.source[index]!;
      sides.artifactNll += nll.artifact[index]!;
      if (best.source[index] === target) sides.sourceRight++;
      if (best.artifact[index] === target) sides.artifactRight++;
    }
    sums = mergeLanguageModel(sums, {
      ...own,
      ...sides,
      klSketch: sketchValues(
        kl
          .subarray(row * length, (row + 1) * length)
          .filter((_, t) => isToken[row * length + t] !== 0),
      ),
      nllIncrease: clusterOf(sides.artifactNll - sides.sourceNll, own.predictedTokens),
      rightLost: clusterOf(sides.sourceRight - sides.artifactRight, own.predictedTokens),
    });
  }
  return sums;
}

/** Returns, per position of the logits, whether it holds a token and which token comes next. */
function alignTokens(
  dims: readonly number[],
  tokens: TokenBatch,
): { readonly isToken: Uint8Array; readonly targets: Int32Array } {
  const [batch = 0, length = 0, vocabulary = 0] = dims;
  const isAligned = length === tokens.length;
  const mask = isAligned ? tokens.mask : undefined;
  const isToken = Uint8Array.from({ length: batch * length }, (_, index) =>
    Number(mask?.[index] ?? 1),
  );
  const targets = new Int32Array(batch * length).fill(NO_TARGET);
  if (!isAligned) return { isToken, targets };
  for (let index = 0; index + 1 < targets.length; index++) {
    const isLast = (index + 1) % length === 0;
    if (isLast || isToken[index] === 0 || isToken[index + 1] === 0) continue;
    const token = Number(tokens.ids[index + 1]);
    if (!(token >= 0 && token < vocabulary)) {
      throw new UsageError(
        `token ${(index + 1) % length}: is not in the model's vocabulary (got ${token}, expected ` +
          `0..${vocabulary - 1}). Use the tokenizer that belongs to the model.`,
      );
    }
    targets[index] = token;
  }
  return { isToken, targets };
}

/** Returns the sums of two disjoint groups of runs. */
export function mergeLanguageModel(a: LanguageModelSums, b: LanguageModelSums): LanguageModelSums {
  return {
    positions: a.positions + b.positions,
    agreements: a.agreements + b.agreements,
    klNats: a.klNats + b.klNats,
    klSketch: mergeSketches(a.klSketch, b.klSketch),
    predictedTokens: a.predictedTokens + b.predictedTokens,
    sourceNll: a.sourceNll + b.sourceNll,
    artifactNll: a.artifactNll + b.artifactNll,
    sourceRight: a.sourceRight + b.sourceRight,
    artifactRight: a.artifactRight + b.artifactRight,
    nllIncrease: mergeClusters(a.nllIncrease, b.nllIncrease),
    rightLost: mergeClusters(a.rightLost, b.rightLost),
  };
}

/** Returns the figures of a report, or null when no position was compared. */
export function summarizeLanguageModel(
  output: string,
  sums: LanguageModelSums,
): LanguageModelAccuracy | null {
  const { positions, predictedTokens: tokens } = sums;
  if (positions === 0) return null;
  const lost = clusterMeanInterval(sums.rightLost);
  return {
    output,
    positions,
    predictedTokens: tokens,
    ...klFigures(sums.klNats / positions, sums.klSketch),
    agreement: sums.agreements / positions,
    perplexity: tokens === 0 ? null : perplexityOf(sums),
    top1:
      tokens === 0
        ? null
        : {
            source: sums.sourceRight / tokens,
            artifact: sums.artifactRight / tokens,
            dropPoints: (100 * (sums.sourceRight - sums.artifactRight)) / tokens,
            dropPointsInterval: lost && { low: 100 * lost.low, high: 100 * lost.high },
          },
  };
}

function perplexityOf(sums: LanguageModelSums): LanguageModelAccuracy['perplexity'] {
  const source = Math.exp(sums.sourceNll / sums.predictedTokens);
  const artifact = Math.exp(sums.artifactNll / sums.predictedTokens);
  const ratio = Math.exp((sums.artifactNll - sums.sourceNll) / sums.predictedTokens);
  if (![source, artifact, ratio].every(Number.isFinite)) return null;
  const log = clusterMeanInterval(sums.nllIncrease);
  const interval = log && { low: Math.exp(log.low), high: Math.exp(log.high) };
  const bounded = interval !== null && Number.isFinite(interval.high);
  return { source, artifact, ratio, ratioInterval: bounded ? interval : null };
}
