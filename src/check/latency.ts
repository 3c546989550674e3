/**
 * Timing that can be believed. Both models run in one process on the same inputs, in turns (a b, b a,
 * ...), so that clock speed, heat and neighbours hit both sides alike; the claim is a bootstrap
 * interval of the ratio of medians, and "faster" is said only when it excludes 1. Times are wall
 * times of a whole run, transfers included: they are not kernel times and are never mixed with them.
 */
import { bootstrapMedianRatio } from '../numerics/bootstrap.ts';
import { median, quantileOfSorted } from '../numerics/quantile.ts';
import type { SharedSessions } from '../runners/onnxruntime/onnxruntime-runner.ts';
import type { Feeds } from '../values/tensor-value.ts';
import type { Latency, LatencySummary, Verdict } from './check-result.ts';

/** Milliseconds of runs in turns; entry i of both sides belongs to pair i. */
interface PairedTimes {
  readonly baseline: readonly number[];
  readonly artifact: readonly number[];
}

/** Runs so many pairs, in turns, and returns their times. */
export type TimePairs = (pairs: number) => Promise<PairedTimes>;

/** What is timed, in words that the result carries. */
export interface LatencyScenario {
  /** `prefill 128`, `decode after 128`, `batch 1`. */
  readonly name: string;
  /** What the artifact is timed against: the best float form on this device. */
  readonly baseline: string;
  readonly device: string;
  /** Tokens or samples that one run works through. */
  readonly itemsPerRun?: { readonly count: number; readonly unit: string };
}

/** How long to measure. The defaults are in {@link LATENCY_DEFAULTS}. */
export interface LatencyOptions {
  /** Pairs to measure, unless the budget ends first. */
  readonly pairs?: number;
  /** Each side is measured for at least so long, unless the budget ends first. */
  readonly secondsPerSide?: number;
  /** Time both sides may take together, warm-up included. At least 5 pairs are always measured. */
  readonly budgetSeconds?: number;
  readonly seed: number;
  /** Called after every batch with the pairs measured so far and the pairs wanted. */
  readonly onPairs?: (done: number, wanted: number) => void;
}

/** 200 pairs and 3 s per side, whichever takes longer, within 60 s. */
const LATENCY_DEFAULTS = { pairs: 200, secondsPerSide: 3, budgetSeconds: 60 } as const;

/**
 * onnxruntime session settings for runs in turns: without them the idle side's threads spin for a
 * while after each run and take the cores from the side that is being timed.
 */
export const INTERLEAVED_SESSION_CONFIG: Readonly<Record<string, string>> = {
  'session.force_spinning_stop': '1',
};

const WARM_UP_RUNS = 20;
const WARM_UP_MILLISECONDS = 200;
/** The median of the last runs against that of the runs before them. */
const STEADY_WINDOW = 10;
const STEADY_CHANGE = 0.02;
/** Share of the budget after which a side that will not settle is measured anyway. */
const WARM_UP_SHARE = 0.25;
const FEWEST_PAIRS = 5;
/** Models of microseconds stop here: resampling 2,000 times more than this takes longer than running. */
const MOST_PAIRS = 1000;
/** A batch is short enough for progress and the budget, long enough to hide the message to the process. */
const BATCH_MILLISECONDS = 250;

/** Returns how to time two sessions of one process: the first is the baseline, the second the artifact. */
export function timeSessions(
  shared: Pick<SharedSessions, 'timeInterleaved'>,
  feeds: { readonly baseline: Feeds; readonly artifact: Feeds },
): TimePairs {
  return async (pairs) => {
    const { a, b } = await shared.timeInterleaved(feeds.baseline, feeds.artifact, pairs, 0);
    return { baseline: a, artifact: b };
  };
}

/** Warms up both sides, measures pairs and returns their summary with the verdict. */
export async function measureLatency(
  timePairs: TimePairs,
  scenario: LatencyScenario,
  options: LatencyOptions,
): Promise<Latency> {
  const limits = { ...LATENCY_DEFAULTS, ...withoutUndefined(options) };
  const warmUp = await warmUpPairs(timePairs, limits.budgetSeconds * 1000 * WARM_UP_SHARE);
  const spent = sum(warmUp.times.baseline) + sum(warmUp.times.artifact);
  const left = limits.budgetSeconds * 1000 - spent;
  const measured = await measurePairs(timePairs, warmUp.times, { ...limits, left });
  return summarizeLatency(scenario, { ...warmUp, measured, seed: options.seed });
}

interface WarmUp {
  readonly times: PairedTimes;
  readonly steady: { readonly baseline: boolean; readonly artifact: boolean };
}

async function warmUpPairs(timePairs: TimePairs, budget: number): Promise<WarmUp> {
  const baseline: number[] = [];
  const artifact: number[] = [];
  for (;;) {
    // The first pair stands alone: it pays for lazy allocation, and tells how long a batch takes.
    const batch = await timePairs(baseline.length === 0 ? 1 : batchSize(baseline, artifact, 10));
    baseline.push(...batch.baseline);
    artifact.push(...batch.artifact);
    const steady = { baseline: isSteady(baseline), artifact: isSteady(artifact) };
    const spent = sum(baseline) + sum(artifact);
    if ((steady.baseline && steady.artifact) || spent >= budget) {
      return { times: { baseline, artifact }, steady };
    }
  }
}

function isSteady(times: readonly number[]): boolean {
  // The first run is not part of any window.
  if (times.length <= Math.max(WARM_UP_RUNS, 2 * STEADY_WINDOW)) return false;
  if (sum(times) < WARM_UP_MILLISECONDS) return false;
  const last = median(times.slice(-STEADY_WINDOW));
  const before = median(times.slice(-2 * STEADY_WINDOW, -STEADY_WINDOW));
  return Math.abs(last / before - 1) < STEADY_CHANGE;
}

interface MeasureLimits {
  readonly pairs: number;
  readonly secondsPerSide: number;
  /** Milliseconds of the budget that the warm-up left. */
  readonly left: number;
  readonly onPairs?: (done: number, wanted: number) => void;
}

async function measurePairs(
  timePairs: TimePairs,
  warmUp: PairedTimes,
  limits: MeasureLimits,
): Promise<PairedTimes> {
  const baseline: number[] = [];
  const artifact: number[] = [];
  const perSide = limits.secondsPerSide * 1000;
  for (;;) {
    const spent = [sum(baseline), sum(artifact)] as const;
    const long = baseline.length >= limits.pairs && Math.min(...spent) >= perSide;
    const enough = long || baseline.length >= Math.max(limits.pairs, MOST_PAIRS);
    const over = spent[0] + spent[1] >= limits.left && baseline.length >= FEWEST_PAIRS;
    if (enough || over) return { baseline, artifact };
    // An even number keeps the turns balanced: every batch starts with the same side.
    const batch = await timePairs(2 * batchSize(warmUp.baseline, warmUp.artifact, 100));
    baseline.push(...batch.baseline);
    artifact.push(...batch.artifact);
    const pairMilliseconds = (sum(baseline) + sum(artifact)) / baseline.length;
    const forTime = Math.min(MOST_PAIRS, Math.ceil((2 * perSide) / pairMilliseconds));
    const affordable = Math.max(FEWEST_PAIRS, Math.ceil(limits.left / pairMilliseconds));
    const wanted = Math.min(affordable, Math.max(limits.pairs, forTime));
    limits.onPairs?.(baseline.length, Math.max(baseline.length, wanted));
  }
}

function batchSize(baseline: readonly number[], artifact: readonly number[], most: number): number {
  const pair = (baseline.at(-1) ?? 0) + (artifact.at(-1) ?? 0);
  return Math.max(1, Math.min(most, Math.floor(BATCH_MILLISECONDS / Math.max(pair, 1e-3))));
}

/** Times of one scenario before they are condensed. */
interface MeasuredTimes {
  /** Warm-up runs, the first run first. */
  readonly times: PairedTimes;
  readonly steady: { readonly baseline: boolean; readonly artifact: boolean };
  readonly measured: PairedTimes;
  readonly seed: number;
}

/**
 * Returns the figures of one scenario. The interval is a percentile bootstrap over pairs with 2,000
 * resamples; the same times and seed give the same result.
 */
function summarizeLatency(scenario: LatencyScenario, times: MeasuredTimes): Latency {
  const { measured, seed, steady } = times;
  const ratio = bootstrapMedianRatio(measured.baseline, measured.artifact, { seed, paired: true });
  const interval = { low: ratio.low, high: ratio.high };
  return {
    scenario: scenario.name,
    baseline: scenario.baseline,
    device: scenario.device,
    pairs: measured.baseline.length,
    baselineTimes: summarizeTimes(measured.baseline, times.times.baseline, steady.baseline),
    artifactTimes: summarizeTimes(measured.artifact, times.times.artifact, steady.artifact),
    speedup: ratio.estimate,
    speedupInterval: interval,
    verdict: verdictOf(interval),
    itemsPerRun: scenario.itemsPerRun ?? null,
  };
}

function summarizeTimes(
  times: readonly number[],
  warmUp: readonly number[],
  steady: boolean,
): LatencySummary {
  const sorted = Float64Array.from(times).sort();
  const mean = sum(times) / times.length;
  const squares = times.reduce((total, time) => total + (time - mean) ** 2, 0);
  return {
    runs: times.length,
    firstMilliseconds: warmUp[0] ?? 0,
    warmUpRuns: warmUp.length,
    steady,
    minMilliseconds: quantileOfSorted(sorted, 0),
    meanMilliseconds: mean,
    p50Milliseconds: quantileOfSorted(sorted, 0.5),
    p90Milliseconds: quantileOfSorted(sorted, 0.9),
    p99Milliseconds: quantileOfSorted(sorted, 0.99),
    maxMilliseconds: quantileOfSorted(sorted, 1),
    coefficientOfVariation: Math.sqrt(squares / Math.max(1, times.length - 1)) / mean,
  };
}

/** Returns what may be claimed about a speedup with this 95 % interval. */
export function verdictOf(interval: { readonly low: number; readonly high: number }): Verdict {
  if (interval.low > 1) return 'faster';
  if (interval.high < 1) return 'slower';
  return 'no measurable difference';
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Explicit `undefined` must not hide a default. */
function withoutUndefined(options: LatencyOptions): Partial<LatencyOptions> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
