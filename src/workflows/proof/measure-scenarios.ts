import { type FeedHints, type FeedInput, feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Sample } from '../../calibrate/sample.ts';
import type { Latency } from '../../check/check-result.ts';
import { type KernelSide, type KernelTimes, summarizeKernels } from '../../check/kernel-times.ts';
import { INTERLEAVED_SESSION_CONFIG, measureLatency, timeSessions } from '../../check/latency.ts';
import type { Model } from '../../ir/model.ts';
import { profileKernels } from '../../runners/onnxruntime/kernel-profile.ts';
import { openSessions } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import type { Device, Runner, Session } from '../../runners/runner.ts';
import { isAlias, isBatchDim, roleOf } from '../../structure/input-role.ts';
import type { Feeds } from '../../values/tensor-value.ts';
import type { Reporter } from '../progress.ts';
import { openApart, type TimedSessions } from './open-apart.ts';
import { cutTokens, nextToken, type TokenRows, tokenRows } from './token-feeds.ts';

/** Two models of the same function, to be timed in turns. */
export interface TimedPair {
  readonly baseline: { readonly path: string; readonly model: Model };
  readonly artifact: TimedArtifact;
  /** What the baseline is, in words: `float32 twin`. */
  readonly baselineLabel: string;
  readonly sample: Sample;
  /** Of the artifact's runner; the baseline runs there in onnxruntime, or else on the CPU. */
  readonly device: Device;
  readonly hints: FeedHints;
  readonly seed: number;
  /** Tokens that are timed, and the past of the decode step; 128 when absent. */
  readonly contextLength?: number | undefined;
}

/** What is timed against the baseline. */
interface TimedArtifact {
  readonly path: string;
  /** Runs it; onnxruntime beside the baseline when absent. */
  readonly runner?: Runner | undefined;
  /** Absent where it is no ONNX file: its session then says what it wants fed. */
  readonly model?: Model | undefined;
}

/** Tokens of the prefill scenario (llama-bench's pp128), and of the past of the decode step. */
const PREFILL_TOKENS = 128;

interface Scenario {
  readonly name: string;
  readonly baseline: Feeds;
  readonly artifact: Feeds;
  readonly items: { readonly count: number; readonly unit: string };
}

/** What timing two models gave. */
export interface ScenarioTimes {
  readonly latency: readonly Latency[];
  readonly kernelTimes: KernelTimes | null;
}

/** Profiled runs of each side: medians are what latency is for, these say where the time goes. */
const PROFILED = { runs: 10, milliseconds: 1000 };

/**
 * Times a model of tokens at a row of them, cut to as many as are asked for, and, when it has a KV cache,
 * at one decode step after it; any other model at one sample. A batch, and what cannot be cut, is timed as
 * it is. In onnxruntime both models share one process, elsewhere each has its own; their runs alternate.
 */
export async function measureScenarios(
  pair: TimedPair,
  reporter: Reporter,
): Promise<ScenarioTimes> {
  const shared = await openPair(pair);
  const latency: Latency[] = [];
  let first: Scenario | undefined;
  try {
    for (const scenario of await makeScenarios(pair, shared)) {
      first ??= scenario;
      latency.push(
        await measureLatency(
          timeSessions(shared, { baseline: scenario.baseline, artifact: scenario.artifact }),
          {
            name: scenario.name,
            baseline: pair.baselineLabel,
            device: pair.device,
            itemsPerRun: scenario.items,
          },
          {
            seed: pair.seed,
            budgetSeconds: 20,
            onPairs: (done, total) =>
              reporter.progress({ task: `time ${scenario.name}`, done, total, unit: 'pairs' }),
          },
        ),
      );
    }
  } finally {
    await shared.close();
  }
  const kernelTimes = first === undefined ? null : await profileScenario(pair, first);
  return { latency, kernelTimes };
}

async function openPair({ baseline, artifact, device }: TimedPair): Promise<TimedSessions> {
  const options = { device, config: INTERLEAVED_SESSION_CONFIG };
  if (artifact.runner === undefined) {
    return openSessions([
      { path: baseline.path, options },
      { path: artifact.path, options },
    ]);
  }
  return openApart(baseline.path, { ...artifact, runner: artifact.runner, device });
}

/** Other devices than the CPU run kernels while the profile has moved on: it times their launch. */
async function profileScenario(pair: TimedPair, scenario: Scenario): Promise<KernelTimes | null> {
  const { device, baselineLabel, artifact } = pair;
  if (device !== 'cpu' || artifact.runner !== undefined) return null;
  const profile = async (side: 'baseline' | 'artifact'): Promise<KernelSide> => {
    const { path } = pair[side];
    const { kernels, runs } = await profileKernels(path, { device }, scenario[side], PROFILED);
    return summarizeKernels(kernels, runs);
  };
  return {
    scenario: scenario.name,
    baselineLabel,
    baseline: await profile('baseline'),
    artifact: await profile('artifact'),
  };
}

async function makeScenarios(pair: TimedPair, shared: TimedSessions): Promise<readonly Scenario[]> {
  const baseline = timedSide(pair, feedInputs(pair.baseline.model.graph));
  const { model } = pair.artifact;
  const [, session] = shared.sessions;
  const artifact = timedSide(
    pair,
    model === undefined ? (session?.inputs ?? []) : feedInputs(model.graph),
  );
  const rows = tokenRows(baseline.inputs, baseline.feeds);
  const timed = { baseline: baseline.feeds, artifact: artifact.feeds };
  if (rows === undefined) {
    const count = batchOf(baseline.inputs, baseline.feeds);
    return [{ name: `batch ${count}`, ...timed, items: { count, unit: 'samples' } }];
  }
  const tokens = { count: rows.batch * rows.length, unit: 'tokens' };
  const first = { name: nameOf(rows), ...timed, items: tokens };
  const next = await decodeStep(shared, baseline, artifact);
  if (next === undefined) return [first];
  const items = { count: rows.batch, unit: 'tokens' };
  return [first, { name: `decode after ${rows.length}`, ...next, items }];
}

/** One of two models, with the feeds of the sample as they are timed. */
interface TimedSide {
  readonly inputs: readonly FeedInput[];
  readonly feeds: Feeds;
}

function timedSide(
  { sample, hints, contextLength }: TimedPair,
  inputs: readonly FeedInput[],
): TimedSide {
  const whole = makeFeeds(inputs, sample, hints);
  return { inputs, feeds: cutTokens(inputs, whole, contextLength ?? PREFILL_TOKENS) };
}

function nameOf({ batch, length, past }: TokenRows): string {
  const rows = batch === 1 ? String(length) : `${batch} x ${length}`;
  if (past === 0) return `prefill ${rows}`;
  return length === 1 && batch === 1 ? `decode after ${past}` : `prefill ${rows} after ${past}`;
}

/** Samples in one run: the size of the axis that is called batch, or counts images. */
function batchOf(inputs: readonly FeedInput[], feeds: Feeds): number {
  const batched = inputs.find(({ name, dims }) => {
    return isBatchDim(dims[0]) || (isAlias('pixel_values', name) && dims.length === 4);
  });
  return (batched && feeds.get(batched.name)?.dims[0]) ?? 1;
}

/** The feeds of the token after the first run of both models, when both can be moved on. */
async function decodeStep(
  { sessions: [baselineSession, artifactSession] }: TimedSessions,
  baseline: TimedSide,
  artifact: TimedSide,
): Promise<Pick<Scenario, 'baseline' | 'artifact'> | undefined> {
  if (baselineSession === undefined || artifactSession === undefined) return undefined;
  const hasCache = baseline.inputs.some(({ name }) => roleOf(name) === 'cache');
  if (!hasCache) return undefined;
  const next = async ({ inputs, feeds }: TimedSide, session: Session) =>
    nextToken(inputs, feeds, await session.run(feeds));
  const first = await next(baseline, baselineSession);
  const second = first && (await next(artifact, artifactSession));
  return first && second && { baseline: first, artifact: second };
}
