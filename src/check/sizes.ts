import type { ModelSize, Sizes } from './check-result.ts';

/** What is known of one model before ratios are taken. */
export interface WeighedModel {
  /** Every file of the model: the graph and all of its external data. */
  readonly files: readonly { readonly file: string; readonly byteLength: number }[];
  /** Weights of the model. Quantization keeps their number, so an artifact is given its source's. */
  readonly parameters: number;
  /** Peak resident set of a process that ran this model alone; null when it was not run so. */
  readonly peakMemoryBytes: number | null;
}

/** Returns sizes, bits per weight and ratios; files are sorted by name. */
export function compareSizes(source: WeighedModel, artifact: WeighedModel): Sizes {
  const before = weigh(source);
  const after = weigh(artifact);
  const measured = before.peakMemoryBytes !== null && after.peakMemoryBytes !== null;
  return {
    source: before,
    artifact: after,
    ratio: ratioOf(after.byteLength, before.byteLength),
    peakMemoryRatio: measured ? ratioOf(after.peakMemoryBytes, before.peakMemoryBytes) : null,
  };
}

function weigh({ files, parameters, peakMemoryBytes }: WeighedModel): ModelSize {
  const sorted = [...files].sort((a, b) => (a.file < b.file ? -1 : 1));
  const byteLength = sorted.reduce((total, file) => total + file.byteLength, 0);
  return {
    files: sorted,
    byteLength,
    parameters,
    bitsPerWeight: ratioOf(8 * byteLength, parameters),
    peakMemoryBytes,
  };
}

/** 0 for a model without weights, so that the result stays a JSON number. */
function ratioOf(value: number, base: number): number {
  return base === 0 ? 0 : value / base;
}
