/**
 * What a check found, as plain data: the content of `check.json` and the input of every reporter.
 * `null` means "not measured" or "not defined"; a number is always a measurement. Nothing in here
 * is a date or a path outside the model folders, so two checks of the same files differ in
 * measured figures alone. Units are in the names; fractions are 0..1 unless named otherwise.
 */

import type { FusionAudit } from '../targets/onnx/audit-fusion.ts';
import type { Saturation } from '../targets/onnx/saturation.ts';
import type { KernelTimes } from './kernel-times.ts';
import type { RangeCheck } from './range-check.ts';

/** Value of {@link CheckResult.schema}; changes when a field changes its meaning. */
export const CHECK_SCHEMA = 'autoglm.check/1';

/** A 95 % confidence interval. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A check of one artifact against the model it was made from. */
export interface CheckResult {
  readonly schema: typeof CHECK_SCHEMA;
  readonly source: CheckedModel;
  readonly artifact: CheckedModel;
  readonly device: CheckedDevice;
  readonly runtime: CheckedRuntime;
  /** The held-out samples, or null when only sizes or latency were asked for. */
  readonly data: CheckedData | null;
  readonly accuracy: Accuracy | null;
  /** One entry per scenario, in the order they were run. */
  readonly latency: readonly Latency[];
  /** Where the time of the first scenario goes; null on devices whose kernels the profile cannot time. */
  readonly kernelTimes: KernelTimes | null;
  readonly sizes: Sizes;
  /** Planned against really fused nodes, or null when no plan was known. */
  readonly fusion: FusionAudit | null;
  /** Whether the artifact's integer products give the same sums on every CPU; null for a target without any. */
  readonly saturation: Saturation | null;
  /** Whether the data stay within the calibrated ranges; null where there are none, or on another device than the CPU. */
  readonly ranges: RangeCheck | null;
  /** Nodes that the runtime placed on another device than the requested one, unasked. */
  readonly fallbackNodes: readonly FallbackNode[];
  readonly gates: readonly GateResult[];
  /** Runtimes the artifact is meant for that did not run here: "tensorrt: no NVIDIA driver". */
  readonly notVerified: readonly string[];
  /** What a reader of the figures should know: noisy timing, few samples, values not finite. */
  readonly warnings: readonly string[];
  /** True when no gate failed. Without gates there is nothing to fail. */
  readonly passed: boolean;
}

/** A model as it was checked. */
export interface CheckedModel {
  /** File name, without the folder. */
  readonly file: string;
  /** SHA-256 of the model file and its external data. */
  readonly sha256: string;
  /** What it is, in words a table has room for: `float16 source`, `w8a8`. */
  readonly label: string;
}

/** Where the models ran, and why not elsewhere. */
export interface CheckedDevice {
  /** A device of the runner: `cpu`, `webgpu`, `cuda`, `tensorrt` of onnxruntime. */
  readonly id: string;
  /** `cpu` when asked for by name, `auto` when chosen. */
  readonly requested: string;
  /** Product name of the processor or GPU. */
  readonly name: string;
  /** Where the source's outputs for accuracy came from; float16 runs on a CPU through casts to float32. */
  readonly reference: string;
  readonly notUsed: readonly { readonly device: string; readonly reason: string }[];
}

/** Versions of everything whose numerics or speed show in the figures. */
export interface CheckedRuntime {
  readonly autoglm: string;
  readonly node: string;
  /** Name and version of the runtime: `onnxruntime 1.30.0`. */
  readonly runner: string;
  readonly platform: string;
  readonly cpu: string;
  /** Vector instruction sets that decide integer speed: `avx2`, `avx512_vnni`, `neon_dotprod`. */
  readonly instructionSets: readonly string[];
  /** Whether this CPU adds pairs of uint8 x int8 products in saturating 16 bits, by trying; null when not known. */
  readonly saturatesPairs: boolean | null;
  readonly threads: number | null;
}

/** The held-out data. */
export interface CheckedData {
  readonly name: string;
  readonly sha256: string;
  readonly samples: number;
  /** False for random or synthetic data: the figures then say nothing about accuracy in use. */
  readonly representative: boolean;
}

/** How close the artifact's outputs are to the source's on the same samples. */
export interface Accuracy {
  readonly samples: number;
  /** Floating-point outputs that both models have, in the artifact's order. */
  readonly outputs: readonly OutputSimilarity[];
  readonly languageModel: LanguageModelAccuracy | null;
  readonly classification: ClassificationAccuracy | null;
  /** The same logits by kind of text, where the data set names kinds; empty where it names none. */
  readonly domains: readonly DomainAccuracy[];
}

/** Figures of the logits of one kind of text. */
export interface DomainAccuracy {
  readonly domain: string;
  readonly samples: number;
  /** Positions compared, or rows of class logits. */
  readonly positions: number;
  /** As of all positions. */
  readonly klNats: number | null;
  readonly klP999Nats: number | null;
  readonly klWorstNats: number | null;
  readonly agreement: number;
  /** Perplexity after / before; null where nothing is predicted. */
  readonly perplexityRatio: number | null;
}

/** Similarity of one output over all elements of all samples. */
export interface OutputSimilarity {
  readonly name: string;
  readonly elements: number;
  /** Cosine of the two outputs taken as one long vector each. Null when a value was not finite. */
  readonly cosine: number | null;
  /** The lowest cosine of any one sample. Null where a sample is a single element: it has no angle. */
  readonly worstSampleCosine: number | null;
  /** 10 log10(sum source^2 / sum error^2). Null when the error is exactly zero or not finite. */
  readonly sqnrDb: number | null;
  /** Null when rows are single elements, when none was heard, or a value was not finite. */
  readonly rows: RowSimilarity | null;
  readonly maxAbsError: number | null;
  /** Elements that are NaN or infinite in one model and not the same in the other. */
  readonly nonFiniteMismatches: number;
}

/**
 * Similarity of one output row by row, all rows alike. A row is the last axis longer than 1: one token
 * of [batch, tokens, width], one sample of [batch, classes]. Padding is left out where the sample has an
 * attention mask of as many positions as the output has rows.
 */
export interface RowSimilarity {
  /** Rows compared. */
  readonly count: number;
  /** Rows left out: all zero in the source, or 40 dB below the median row of their sample. */
  readonly silent: number;
  readonly cosine: RowFigures;
  /** In dB; a row that is equal counts as 150 dB, a little more than float32 can tell apart. */
  readonly sqnrDb: RowFigures;
}

/** One figure over all rows. */
export interface RowFigures {
  readonly mean: number;
  /** The first percentile: 1 % of the rows are worse (within 0.1 % of the noise or of 1 - cosine). */
  readonly p1: number;
  readonly worst: number;
}

/** A share of correct answers before and after. Shares are fractions, the drop is in points. */
export interface Top1 {
  readonly source: number;
  readonly artifact: number;
  /** 100 * (source - artifact): positive when the artifact is worse. */
  readonly dropPoints: number;
  /** Null when there are too few samples for an interval. */
  readonly dropPointsInterval: Interval | null;
}

/** Figures of next-token logits [batch, sequence, vocabulary]. */
export interface LanguageModelAccuracy {
  readonly output: string;
  /** Positions compared; padding is left out. */
  readonly positions: number;
  /** Positions that have a next token in the data to be judged by. */
  readonly predictedTokens: number;
  /** Mean KL(source || artifact) per position in nats. Null when it is not finite. */
  readonly klNats: number | null;
  /** KL that 99.9 % of the positions do not exceed, within 0.1 %; that of the worst position below 1,000. */
  readonly klP999Nats: number | null;
  /** KL of the worst position. */
  readonly klWorstNats: number | null;
  /** Share of positions where both models rank the same token first. */
  readonly agreement: number;
  readonly perplexity: PerplexityPair | null;
  /** Next-token accuracy. */
  readonly top1: Top1 | null;
}

/** exp(mean negative log-likelihood of the next token) of both models. */
export interface PerplexityPair {
  readonly source: number;
  readonly artifact: number;
  /** artifact / source. */
  readonly ratio: number;
  readonly ratioInterval: Interval | null;
}

/** Figures of class logits [batch, classes]. */
export interface ClassificationAccuracy {
  readonly output: string;
  readonly rows: number;
  readonly agreement: number;
  /** Mean KL(source || artifact) per row in nats, then that of rows as for positions. */
  readonly klNats: number | null;
  readonly klP999Nats: number | null;
  readonly klWorstNats: number | null;
  /** Null without labels. */
  readonly top1: Top1 | null;
}

/** Interleaved timing of the artifact against the best float form on the same device. */
export interface Latency {
  /** `prefill 128`, `decode after 128`, `batch 1`. */
  readonly scenario: string;
  /** What the artifact was timed against: `float32 twin`. */
  readonly baseline: string;
  readonly device: string;
  /** Number of (baseline, artifact) pairs after warm-up. */
  readonly pairs: number;
  readonly baselineTimes: LatencySummary;
  readonly artifactTimes: LatencySummary;
  /** Median of the baseline / median of the artifact; above 1 the artifact is faster. */
  readonly speedup: number;
  readonly speedupInterval: Interval;
  readonly verdict: Verdict;
  /** Tokens or samples one run works through, for rates; null when there is no such count. */
  readonly itemsPerRun: { readonly count: number; readonly unit: string } | null;
}

/** `faster` and `slower` only when the 95 % interval of the speedup excludes 1. */
export type Verdict = 'faster' | 'slower' | 'no measurable difference';

/** Wall times of one side: end to end, including transfers to and from the device. */
export interface LatencySummary {
  readonly runs: number;
  /** The very first run, with lazy allocation and compilation; not part of the other figures. */
  readonly firstMilliseconds: number;
  readonly warmUpRuns: number;
  /** False when the time budget ended before the rolling median settled within 2 %. */
  readonly steady: boolean;
  readonly minMilliseconds: number;
  readonly meanMilliseconds: number;
  readonly p50Milliseconds: number;
  readonly p90Milliseconds: number;
  readonly p99Milliseconds: number;
  readonly maxMilliseconds: number;
  /** Standard deviation / mean. Above 0.05 the machine was not quiet. */
  readonly coefficientOfVariation: number;
}

/** What the two models weigh. */
export interface Sizes {
  readonly source: ModelSize;
  readonly artifact: ModelSize;
  /** Bytes of the artifact / bytes of the source: all files of each. */
  readonly ratio: number;
  readonly peakMemoryRatio: number | null;
}

/** What one model weighs on disk and in memory. */
export interface ModelSize {
  readonly files: readonly { readonly file: string; readonly byteLength: number }[];
  readonly byteLength: number;
  readonly parameters: number;
  /** 8 * byteLength / parameters: of all files, so scales, graph and padding count. */
  readonly bitsPerWeight: number;
  /** Peak resident set of a process that only loaded and ran this model. */
  readonly peakMemoryBytes: number | null;
}

/** A node that ran elsewhere than asked. */
export interface FallbackNode {
  readonly node: string;
  readonly opType: string;
  readonly device: string;
}

/** The outcome of one gate. */
export interface GateResult {
  readonly gate: string;
  /** As a person writes it: `<= 0.5pt`. */
  readonly limit: string;
  /** As a person reads it: `0.12pt`; `not measured` when there is no figure. */
  readonly measured: string;
  /** The bare figure in the gate's unit, null when not measured. */
  readonly value: number | null;
  readonly passed: boolean;
  /** One sentence: which gate, what was measured, what was asked for. */
  readonly text: string;
}
