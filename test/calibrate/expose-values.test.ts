import { describe, expect, it } from 'vitest';
import { collectStatistics } from '../../src/calibrate/collect-statistics.ts';
import { exposeValues } from '../../src/calibrate/expose-values.ts';
import { openOnnxruntimeObserver } from '../../src/calibrate/observe/observer.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { mergeStatistics } from '../../src/calibrate/statistics.ts';
import { distinctNames } from '../../src/passes/distinct-names.ts';
import type { TensorValue } from '../../src/values/tensor-value.ts';
import { noise } from '../kit/models.ts';
import { merged, nested } from '../quantize/body-models.ts';

const WIDTH = 64;
const context = { decline: () => {} };

function mergedSample(index: number, usesCache: boolean): Sample {
  const array = (dims: readonly number[], data: Float32Array) =>
    ({ dataType: 'float32', dims, data }) as const;
  return {
    index,
    values: new Map<string, TensorValue>([
      ['x', array([1, 4, WIDTH], noise(index + 1, 4 * WIDTH))],
      ['past', array([1, 1, WIDTH], new Float32Array(WIDTH).fill(10))],
      ['use_cache', { dataType: 'bool', dims: [1], data: Uint8Array.of(Number(usesCache)) }],
    ]),
  };
}

function collect(choices: readonly boolean[], first = 0) {
  return collectStatistics({
    model: distinctNames.run(merged(), context),
    values: ['x', 'entered', 'entered_1', 'bounded'],
    channels: true,
    dataset: {
      path: 'rows',
      count: async () => choices.length,
      async *samples() {
        for (const [at, choice] of choices.entries()) yield mergedSample(first + at, choice);
      },
    },
    openObserver: openOnnxruntimeObserver,
  });
}

describe('values in the branches of an If', () => {
  it('are seen in those samples that take the branch', async () => {
    const { statistics } = await collect([false, true, false]);
    const entered = statistics.get('entered')!;
    const other = statistics.get('entered_1')!;
    expect([entered.sampleCount, entered.count]).toEqual([3, 4 * WIDTH]);
    expect([other.sampleCount, other.count]).toEqual([3, 2 * 4 * WIDTH]);
    // 10 is added in the one branch, and the other ends in Tanh.
    expect(entered.min).toBeGreaterThan(5);
    expect(other.max).toBeLessThanOrEqual(1);
    expect([entered.channels?.min.length, other.channels?.min.length]).toEqual([WIDTH, WIDTH]);
    expect(statistics.get('bounded')!.count).toBe(3 * 4 * WIDTH);
  });

  it('that no sample takes count nothing, and are the identity of a merge', async () => {
    const [never, once] = [await collect([false]), await collect([true], 1)];
    const empty = never.statistics.get('entered')!;
    const seen = once.statistics.get('entered')!;
    expect([empty.sampleCount, empty.count, empty.channels]).toEqual([1, 0, undefined]);
    const whole = (await collect([false, true])).statistics.get('entered');
    expect(mergeStatistics(empty, seen)).toEqual(whole);
    expect(mergeStatistics(seen, empty)).toEqual(whole);
  });

  it('are reached through branches of branches', async () => {
    const model = exposeValues(distinctNames.run(nested(), context), ['chosen', 'a']);
    expect(model.graph.nodes.at(-1)?.outputs).toEqual(['y', 'chosen', 'a']);
    const rows = (flag: number, deep: number): Sample => ({
      index: 0,
      values: new Map([
        ['x', { dataType: 'float32', dims: [2, WIDTH], data: noise(1, 2 * WIDTH) }],
        ['flag', { dataType: 'bool', dims: [], data: Uint8Array.of(flag) }],
        ['deep', { dataType: 'bool', dims: [], data: Uint8Array.of(deep) }],
      ]),
    });
    const counts: number[] = [];
    for (const [flag, deep] of [
      [0, 1],
      [1, 0],
      [1, 1],
    ] as const) {
      const { statistics } = await collectStatistics({
        model: distinctNames.run(nested(), context),
        values: ['a', 'chosen'],
        dataset: {
          path: 'rows',
          count: async () => 1,
          async *samples() {
            yield rows(flag, deep);
          },
        },
        openObserver: openOnnxruntimeObserver,
      });
      counts.push(statistics.get('a')!.count, statistics.get('chosen')!.count);
    }
    expect(counts).toEqual([0, 0, 0, 2 * WIDTH, 2 * WIDTH, 2 * WIDTH]);
  });

  it('leave a model as it is when none of them is asked for', () => {
    const model = distinctNames.run(merged(), context);
    expect(exposeValues(model, ['decoded', 'bounded'])).toBe(model);
  });
});
