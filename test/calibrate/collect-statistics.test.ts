import { describe, expect, it } from 'vitest';
import { type CollectOptions, collectStatistics } from '../../src/calibrate/collect-statistics.ts';
import { openDataset } from '../../src/calibrate/dataset.ts';
import { openOnnxruntimeObserver } from '../../src/calibrate/observe/observer.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { mergeStatistics } from '../../src/calibrate/statistics.ts';
import { UsageError } from '../../src/errors.ts';
import type { Model } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { root } from '../kit/paths.ts';
import { FLOAT, tinyModel, writeTiny } from '../runners/tiny-models.ts';

/** a = -x, b = a * a; x is [batch, 2]. */
function tinyChain(): Promise<Model> {
  return openModel(
    writeTiny(
      tinyModel(
        [
          { opType: 'Neg', inputs: ['x'], outputs: ['a'] },
          { opType: 'Mul', inputs: ['a', 'a'], outputs: ['b'] },
          { opType: 'Sqrt', inputs: ['a'], outputs: ['c'] },
        ],
        [{ name: 'x', type: FLOAT, dims: ['batch', 2] }],
        [{ name: 'c', type: FLOAT, dims: ['batch', 2] }],
      ),
    ),
  );
}

function datasetOf(rows: readonly (readonly number[])[]): CollectOptions['dataset'] {
  return {
    path: 'rows',
    count: async () => rows.length,
    async *samples(): AsyncIterable<Sample> {
      for (const [index, row] of rows.entries()) {
        const data = Float32Array.from(row);
        yield {
          index,
          values: new Map([['x', { dataType: 'float32', dims: [row.length], data }]]),
        };
      }
    },
  };
}

async function collect(options: Partial<CollectOptions>): ReturnType<typeof collectStatistics> {
  return collectStatistics({
    model: await tinyChain(),
    values: ['a', 'b'],
    dataset: datasetOf([
      [1, -2],
      [3, 0.5],
      [-4, 2],
    ]),
    openObserver: openOnnxruntimeObserver,
    ...options,
  });
}

describe('statistics of a model', () => {
  it('are those of the values it computes, over all samples', async () => {
    const { statistics, samples } = await collect({});
    expect(samples).toBe(3);
    expect([...statistics.keys()]).toEqual(['a', 'b']);
    expect(statistics.get('a')).toMatchObject({ count: 6, sampleCount: 3, min: -3, max: 4 });
    expect(statistics.get('b')).toMatchObject({ count: 6, min: 0.25, max: 16 });
  });

  it('cover graph inputs, and one value named twice once', async () => {
    const { statistics } = await collect({ values: ['x', 'x'] });
    expect([...statistics.keys()]).toEqual(['x']);
    expect(statistics.get('x')).toMatchObject({ count: 6, min: -4, max: 3 });
  });

  it('keep extremes by channel when asked', async () => {
    const { statistics } = await collect({ channels: true, values: ['a'] });
    expect(statistics.get('a')?.channels).toEqual({
      min: Float32Array.of(-3, -2),
      max: Float32Array.of(4, 2),
    });
  });

  it('count NaN and infinity instead of swallowing them', async () => {
    const { statistics } = await collect({
      values: ['c', 'b'],
      dataset: datasetOf([
        [1, -4],
        [-3e38, -9],
      ]),
    });
    // c = sqrt(-x): NaN for 1; b = x^2 overflows for 3e38.
    expect(statistics.get('c')).toMatchObject({ nanCount: 1, count: 3, min: 2 });
    expect(statistics.get('b')).toMatchObject({ infinityCount: 1, count: 3, max: 81 });
  });

  it('of shards merge to those of one run, whatever the sharding', async () => {
    const whole = await collect({});
    const shards = await Promise.all(
      [0, 1].map((index) => collect({ shard: { index, count: 2 } })),
    );
    expect(shards.map(({ samples }) => samples)).toEqual([2, 1]);
    for (const name of ['a', 'b']) {
      const [first, second] = shards.map(({ statistics }) => statistics.get(name)!);
      expect(mergeStatistics(second!, first!)).toEqual(whole.statistics.get(name));
    }
  });

  it('report progress with the memory of the process that runs', async () => {
    const seen: number[] = [];
    await collect({
      onProgress: ({ done, total, seconds, rssBytes }) => {
        seen.push(done);
        expect(total).toBe(3);
        expect(seconds).toBeGreaterThan(0);
        expect(rssBytes).toBeGreaterThan(10e6);
      },
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  it('stop between two samples when they are told to', async () => {
    const stop = new AbortController();
    const stopped = collect({
      signal: stop.signal,
      onProgress: ({ done }) => {
        if (done === 2) stop.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
  });

  it('are refused for unknown values, for no samples, and name the sample that fails', async () => {
    await expect(collect({ values: ['z'] })).rejects.toThrow(/^value z: no node/);
    await expect(collect({ dataset: datasetOf([]) })).rejects.toThrow(UsageError);
    await expect(collect({ shard: { index: 3, count: 9 } })).rejects.toThrow(
      /no calibration sample/,
    );
    await expect(collect({ dataset: datasetOf([[1, 2], [1]]) })).rejects.toThrow(
      /input x: .*got \[1, 1\]/,
    );
  });

  it('name the user’s model and the sample that onnxruntime refuses, and blame the data', async () => {
    const model = await openModel(
      writeTiny(
        tinyModel(
          [{ opType: 'Add', inputs: ['x', 'y'], outputs: ['a'] }],
          ['x', 'y'].map((name) => ({ name, type: FLOAT, dims: ['batch', `${name}s`] })),
          [{ name: 'a', type: FLOAT, dims: ['batch', 'n'] }],
        ),
      ),
    );
    const row = (length: number) =>
      ({ dataType: 'float32', dims: [length], data: new Float32Array(length) }) as const;
    const failed = collect({
      model,
      values: ['a'],
      modelPath: 'models/sum.onnx',
      dataset: {
        path: 'rows',
        count: async () => 2,
        async *samples(): AsyncIterable<Sample> {
          for (const index of [0, 1]) {
            yield {
              index,
              values: new Map([
                ['x', row(3)],
                ['y', row(3 + index)],
              ]),
            };
          }
        },
      },
    });
    await expect(failed).rejects.toThrow(UsageError);
    await expect(failed).rejects.toThrow(
      /^models\/sum\.onnx: does not take sample 1 of the data set \(.*Add.*\)\. Make the data set fit the model\.$/s,
    );
    await expect(failed).rejects.not.toThrow(/tapped/);
  });

  it('do not cost more memory with more samples', async () => {
    const width = 1 << 16;
    const model = await openModel(
      writeTiny(
        tinyModel(
          [{ opType: 'Neg', inputs: ['x'], outputs: ['a'] }],
          [{ name: 'x', type: FLOAT, dims: ['batch', width] }],
          [{ name: 'a', type: FLOAT, dims: ['batch', width] }],
        ),
      ),
    );
    const row = new Array<number>(width).fill(1.5);
    const rss: number[] = [];
    await collect({
      model,
      values: ['a'],
      dataset: datasetOf(new Array<number[]>(400).fill(row)),
      onProgress: ({ rssBytes }) => rss.push(rssBytes),
    });
    // 400 samples of 256 KiB are 100 MiB; the second half may not add more than 25 MiB.
    expect(Math.max(...rss.slice(200)) - Math.max(...rss.slice(0, 200))).toBeLessThan(25 << 20);
  });
});

describe('statistics of a real export', () => {
  it('cover every linear input of glm-nano on its float32 twin', async () => {
    const model = convertToFloat32.run(
      await openModel(`${root}/fixtures/glm-nano/optimum/model.onnx`),
      { decline: () => {} },
    );
    const values = findLinears(model).map(({ input }) => input);
    const dataset = await openDataset(`${root}/calibration/text`, { samples: 2 });
    const { statistics } = await collectStatistics({
      model,
      values,
      dataset,
      openObserver: openOnnxruntimeObserver,
    });
    expect(statistics.size).toBe(new Set(values).size);
    for (const [name, { count, nanCount, infinityCount, min, max }] of statistics) {
      expect([name, count > 0, nanCount, infinityCount]).toEqual([name, true, 0, 0]);
      expect(min).toBeLessThan(max);
    }
  });
});
