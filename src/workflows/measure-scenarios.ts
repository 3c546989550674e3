import { type FeedHints, feedInputs } from '../calibrate/feed-input.ts';
import { makeFeeds } from '../calibrate/make-feeds.ts';
import type { Sample } from '../calibrate/sample.ts';
import type { Latency } from '../check/check-result.ts';
import { INTERLEAVED_SESSION_CONFIG, measureLatency, timeSessions } from '../check/latency.ts';
import type { Model } from '../ir/model.ts';
import { openSessions, type SharedSessions } from '../runners/onnxruntime.ts';
import type { Device, Feeds, TensorValue } from '../runners/runner.ts';
import type { Reporter } from './progress.ts';

/** Two models of the same function, to be timed in turns. */
export interface TimedPair {
  readonly baseline: { readonly path: string; readonly model: Model };
  readonly artifact: { readonly path: string; readonly model: Model };
  /** What the baseline is, in words: `float32 twin`. */
  readonly baselineLabel: string;
  readonly sample: Sample;
  readonly device: Exclude<Device, 'auto'>;
  readonly hints: FeedHints;
  readonly seed: number;
  /** Tokens that are timed, and the past of the decode step; 128 when absent. */
  readonly contextLength?: number | undefined;
}

/** Tokens of the prefill scenario (llama-bench's pp128), and of the past of the decode step. */
const PREFILL_TOKENS = 128;

interface Scenario {
  readonly name: string;
  readonly baseline: Feeds;
  readonly artifact: Feeds;
  readonly items: { readonly count: number; readonly unit: string };
}

/**
 * Times a decoder at prefill and, when it has a KV cache, at one decode step after it; any other
 * model at one sample. Both models share one process, so that their runs alternate.
 */
export async function measureScenarios(
  pair: TimedPair,
  reporter: Reporter,
): Promise<readonly Latency[]> {
  const options = { device: pair.device, config: INTERLEAVED_SESSION_CONFIG };
  const shared = await openSessions([
    { path: pair.baseline.path, options },
    { path: pair.artifact.path, options },
  ]);
  try {
    const results: Latency[] = [];
    for (const scenario of await makeScenarios(pair, shared)) {
      results.push(
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
    return results;
  } finally {
    await shared.close();
  }
}

async function makeScenarios(
  pair: TimedPair,
  shared: SharedSessions,
): Promise<readonly Scenario[]> {
  const inputs = {
    baseline: feedInputs(pair.baseline.model.graph),
    artifact: feedInputs(pair.artifact.model.graph),
  };
  const ids = pair.sample.values.get('input_ids');
  if (ids === undefined) {
    return [
      {
        name: 'batch 1',
        baseline: makeFeeds(inputs.baseline, pair.sample, pair.hints),
        artifact: makeFeeds(inputs.artifact, pair.sample, pair.hints),
        items: { count: 1, unit: 'samples' },
      },
    ];
  }
  const prompt = takeTokens(pair.sample, pair.contextLength ?? PREFILL_TOKENS);
  const length = prompt.values.get('input_ids')?.dims[0] ?? 0;
  const prefill = {
    baseline: makeFeeds(inputs.baseline, prompt, pair.hints),
    artifact: makeFeeds(inputs.artifact, prompt, pair.hints),
  };
  const scenarios: Scenario[] = [
    { name: `prefill ${length}`, ...prefill, items: { count: length, unit: 'tokens' } },
  ];
  const [baseline, artifact] = shared.sessions;
  if (baseline === undefined || artifact === undefined) return scenarios;
  if (![...prefill.baseline.keys()].some((name) => name.startsWith('past_key_values.'))) {
    return scenarios;
  }
  scenarios.push({
    name: `decode after ${length}`,
    baseline: decodeStep(prefill.baseline, await baseline.run(prefill.baseline), length),
    artifact: decodeStep(prefill.artifact, await artifact.run(prefill.artifact), length),
    items: { count: 1, unit: 'tokens' },
  });
  return scenarios;
}

function takeTokens(sample: Sample, count: number): Sample {
  const values = new Map(sample.values);
  const ids = values.get('input_ids');
  if (ids !== undefined && ids.data.length > count) {
    values.set('input_ids', { ...ids, dims: [count], data: ids.data.slice(0, count) });
  }
  return { ...sample, values };
}

/** The feeds of the token after a prefill: its caches as the past, one position further. */
function decodeStep(prefill: Feeds, outputs: Feeds, past: number): Feeds {
  const feeds = new Map<string, TensorValue>();
  for (const [name, value] of prefill) {
    const present = outputs.get(name.replace(/^past_key_values\./, 'present.'));
    if (present !== undefined) feeds.set(name, present);
    else if (name === 'attention_mask') feeds.set(name, repeatLast(value, past + 1));
    else if (name === 'position_ids') feeds.set(name, positionOf(value, past));
    else if (name === 'input_ids') feeds.set(name, lastOf(value));
    else feeds.set(name, value);
  }
  return feeds;
}

/** [.., n] of ones becomes [.., count] of ones. */
function repeatLast(value: TensorValue, count: number): TensorValue {
  const dims = [...value.dims.slice(0, -1), count];
  const data = new (value.data.constructor as typeof BigInt64Array)(count);
  data.fill(value.data[0] as bigint);
  return { ...value, dims, data };
}

function lastOf(value: TensorValue): TensorValue {
  return { ...value, dims: [...value.dims.slice(0, -1), 1], data: value.data.slice(-1) };
}

/** [..., n] of 0, 1, ... becomes [..., 1] of `position` (3 planes for multi-axis rotary positions). */
function positionOf(value: TensorValue, position: number): TensorValue {
  const dims = [...value.dims.slice(0, -1), 1];
  const data = value.data.slice(
    0,
    dims.reduce((product, dim) => product * dim, 1),
  );
  if (data instanceof BigInt64Array) data.fill(BigInt(position));
  else (data as Int32Array).fill(position);
  return { ...value, dims, data };
}
