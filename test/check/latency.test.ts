import { describe, expect, it } from 'vitest';
import {
  type LatencyScenario,
  measureLatency,
  type TimePairs,
  verdictOf,
} from '../../src/check/latency.ts';
import { createRandom } from '../../src/numerics/random.ts';

const SCENARIO: LatencyScenario = {
  name: 'prefill 128',
  baseline: 'float32 twin',
  device: 'cpu',
  itemsPerRun: { count: 128, unit: 'tokens' },
};

/** Runs of given mean and 2 % noise; the first of each side takes 10 times as long. */
function syntheticTimes(baseline: number, artifact: number): TimePairs & { calls: number[] } {
  const random = createRandom(3);
  const calls: number[] = [];
  let runs = 0;
  const timePairs = async (pairs: number): Promise<{ baseline: number[]; artifact: number[] }> => {
    calls.push(pairs);
    const times = { baseline: [] as number[], artifact: [] as number[] };
    for (let pair = 0; pair < pairs; pair++) {
      const cold = runs++ === 0 ? 10 : 1;
      times.baseline.push(baseline * cold * (1 + 0.02 * random.normal()));
      times.artifact.push(artifact * cold * (1 + 0.02 * random.normal()));
    }
    return times;
  };
  return Object.assign(timePairs, { calls });
}

describe('measureLatency', () => {
  it('calls twice as fast faster, with 2 inside an interval that excludes 1', async () => {
    const latency = await measureLatency(syntheticTimes(10, 5), SCENARIO, { seed: 1 });
    expect(latency.verdict).toBe('faster');
    expect(latency.speedup).toBeCloseTo(2, 1);
    expect(latency.speedupInterval.low).toBeGreaterThan(1.97);
    expect(latency.speedupInterval.high).toBeLessThan(2.03);
  });

  it('calls the slower side slower', async () => {
    const latency = await measureLatency(syntheticTimes(5, 6), SCENARIO, { seed: 1 });
    expect(latency.verdict).toBe('slower');
    expect(latency.speedupInterval.high).toBeLessThan(1);
  });

  it('sees no difference between times that only change places', async () => {
    const random = createRandom(5);
    const timePairs: TimePairs = async (pairs) => {
      // Both sides hold the same times: no resampling can tell them apart on average.
      const times = Array.from({ length: pairs }, () => 4 + random.uniform());
      return { baseline: times, artifact: [...times].reverse() };
    };
    const latency = await measureLatency(timePairs, SCENARIO, { seed: 2 });
    expect(latency.verdict).toBe('no measurable difference');
    expect(latency.speedup).toBe(1);
  });

  it('keeps the first run apart and measures at least 200 pairs and 3 s per side', async () => {
    const { baselineTimes, artifactTimes, pairs } = await measureLatency(
      syntheticTimes(20, 10),
      SCENARIO,
      { seed: 1 },
    );
    expect(baselineTimes.firstMilliseconds).toBeGreaterThan(150);
    expect(baselineTimes.maxMilliseconds).toBeLessThan(25);
    expect(baselineTimes.warmUpRuns).toBeGreaterThan(20);
    expect(baselineTimes.steady).toBe(true);
    expect(pairs).toBeGreaterThanOrEqual(300);
    expect(artifactTimes.runs * artifactTimes.meanMilliseconds).toBeGreaterThanOrEqual(3000);
  });

  it('measures 5 pairs of a model that eats the budget, and says that it had not settled', async () => {
    const timePairs = syntheticTimes(9000, 3000);
    const latency = await measureLatency(timePairs, SCENARIO, { seed: 1, budgetSeconds: 20 });
    expect(latency.pairs).toBe(6);
    expect(latency.baselineTimes.steady).toBe(false);
    expect(timePairs.calls).toEqual([1, 2, 2, 2]);
  });

  it('stops at 1,000 pairs of a model of microseconds', async () => {
    const latency = await measureLatency(syntheticTimes(0.02, 0.01), SCENARIO, { seed: 1 });
    expect(latency.pairs).toBe(1000);
  });

  it('asks for an even number of pairs, so that each side goes first equally often', async () => {
    const timePairs = syntheticTimes(3, 2);
    const latency = await measureLatency(timePairs, SCENARIO, { seed: 1, secondsPerSide: 0.1 });
    const measured = timePairs.calls.slice(-Math.ceil(latency.pairs / 100));
    expect(measured.every((pairs) => pairs % 2 === 0)).toBe(true);
  });

  it('gives the same result for the same times and seed', async () => {
    const options = { seed: 9, pairs: 50, secondsPerSide: 0.1 };
    const first = await measureLatency(syntheticTimes(3, 2), SCENARIO, options);
    const second = await measureLatency(syntheticTimes(3, 2), SCENARIO, options);
    expect(second).toEqual(first);
  });

  it('keeps the defaults when an option is undefined', async () => {
    const options: Record<string, undefined> = { pairs: undefined, budgetSeconds: undefined };
    const latency = await measureLatency(syntheticTimes(20, 20), SCENARIO, { ...options, seed: 1 });
    expect(latency.pairs).toBeGreaterThanOrEqual(200);
  });

  it('orders its percentiles', async () => {
    const { baselineTimes } = await measureLatency(syntheticTimes(4, 4), SCENARIO, { seed: 1 });
    const { minMilliseconds, p50Milliseconds, p90Milliseconds, p99Milliseconds, maxMilliseconds } =
      baselineTimes;
    const order = [
      minMilliseconds,
      p50Milliseconds,
      p90Milliseconds,
      p99Milliseconds,
      maxMilliseconds,
    ];
    expect([...order].sort((a, b) => a - b)).toEqual(order);
    expect(baselineTimes.coefficientOfVariation).toBeCloseTo(0.02, 2);
  });
});

describe('verdictOf', () => {
  it('claims nothing when the interval touches 1', () => {
    expect(verdictOf({ low: 1, high: 1.2 })).toBe('no measurable difference');
    expect(verdictOf({ low: 0.9, high: 1 })).toBe('no measurable difference');
    expect(verdictOf({ low: 1.0001, high: 1.2 })).toBe('faster');
    expect(verdictOf({ low: 0.9, high: 0.9999 })).toBe('slower');
  });
});
