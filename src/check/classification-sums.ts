import { argmaxRows, klDivergences } from '../numerics/logits.ts';
import {
  EMPTY_SKETCH,
  mergeSketches,
  type QuantileSketch,
  sketchValues,
} from '../numerics/quantile-sketch.ts';
import type { ClassificationAccuracy } from './check-result.ts';
import { klFigures } from './kl-figures.ts';
import { type PairedCounts, pairedDifferenceInterval } from './paired-interval.ts';

/** Class logits [rows, classes] of both models for the same inputs. */
export interface ClassLogits {
  readonly source: Float32Array;
  readonly artifact: Float32Array;
  readonly dims: readonly number[];
}

/** Mergeable sums over rows. `counts` covers the rows that have a label. */
export interface ClassificationSums {
  readonly rows: number;
  readonly agreements: number;
  readonly klNats: number;
  /** KL of every row. */
  readonly klSketch: QuantileSketch;
  readonly counts: PairedCounts;
}

/** The sums of nothing; identity of {@link mergeClassification}. */
export const NO_CLASSIFICATION: ClassificationSums = {
  rows: 0,
  agreements: 0,
  klNats: 0,
  klSketch: EMPTY_SKETCH,
  counts: { both: 0, onlySource: 0, onlyArtifact: 0, neither: 0 },
};

/** Returns the sums of one run; `labels` holds the right class of each row, where known. */
export function observeClassification(
  logits: ClassLogits,
  labels: ArrayLike<number> | undefined,
): ClassificationSums {
  const [rows = 0, classes = 0] = logits.dims;
  const source = argmaxRows(logits.source, classes);
  const artifact = argmaxRows(logits.artifact, classes);
  const kl = klDivergences(logits.source, logits.artifact, classes);
  const counts = { both: 0, onlySource: 0, onlyArtifact: 0, neither: 0 };
  let agreements = 0;
  for (let row = 0; row < rows; row++) {
    if (source[row]! >= 0 && source[row] === artifact[row]) agreements++;
    const label = labels?.[row];
    if (label === undefined) continue;
    const isArtifactRight = artifact[row] === label;
    if (source[row] === label) counts[isArtifactRight ? 'both' : 'onlySource']++;
    else counts[isArtifactRight ? 'onlyArtifact' : 'neither']++;
  }
  const klNats = kl.reduce((total, value) => total + value, 0);
  return { rows, agreements, klNats, klSketch: sketchValues(kl), counts };
}

/** Returns the sums of two disjoint groups of runs. */
export function mergeClassification(
  a: ClassificationSums,
  b: ClassificationSums,
): ClassificationSums {
  return {
    rows: a.rows + b.rows,
    agreements: a.agreements + b.agreements,
    klNats: a.klNats + b.klNats,
    klSketch: mergeSketches(a.klSketch, b.klSketch),
    counts: {
      both: a.counts.both + b.counts.both,
      onlySource: a.counts.onlySource + b.counts.onlySource,
      onlyArtifact: a.counts.onlyArtifact + b.counts.onlyArtifact,
      neither: a.counts.neither + b.counts.neither,
    },
  };
}

/** Returns the figures of a report, or null when no row was compared. */
export function summarizeClassification(
  output: string,
  sums: ClassificationSums,
): ClassificationAccuracy | null {
  if (sums.rows === 0) return null;
  const { both, onlySource, onlyArtifact, neither } = sums.counts;
  const labelled = both + onlySource + onlyArtifact + neither;
  const interval = pairedDifferenceInterval(sums.counts);
  return {
    output,
    rows: sums.rows,
    agreement: sums.agreements / sums.rows,
    ...klFigures(sums.klNats / sums.rows, sums.klSketch),
    top1:
      labelled === 0
        ? null
        : {
            source: (both + onlySource) / labelled,
            artifact: (both + onlyArtifact) / labelled,
            dropPoints: (100 * (onlySource - onlyArtifact)) / labelled,
            dropPointsInterval: interval && { low: 100 * interval.low, high: 100 * interval.high },
          },
  };
}
