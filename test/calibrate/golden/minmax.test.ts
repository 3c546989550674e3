import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { collectStatistics } from '../../../src/calibrate/collect-statistics.ts';
import { openDataset } from '../../../src/calibrate/dataset.ts';
import { feedInputs } from '../../../src/calibrate/feed-input.ts';
import { makeFeeds } from '../../../src/calibrate/make-feeds.ts';
import { openOnnxruntimeObserver } from '../../../src/calibrate/observe/observer.ts';
import type { Dataset } from '../../../src/calibrate/sample.ts';
import type { TensorStatistics } from '../../../src/calibrate/statistics.ts';
import type { Model } from '../../../src/ir/model.ts';
import { chooseScale, type IntegerType } from '../../../src/numerics/affine.ts';
import { convertToFloat32 } from '../../../src/passes/convert-to-float32.ts';
import { onnxruntimeRunner } from '../../../src/runners/onnxruntime/onnxruntime-runner.ts';
import { hashFile } from '../../../src/storage/hash-file.ts';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { findLinears } from '../../../src/structure/find-linears.ts';
import { node, value } from '../../check/tiny-models.ts';
import { root } from '../../kit/paths.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';

interface Golden {
  readonly onnxruntime: string;
  readonly cases: readonly {
    readonly model: string;
    readonly data: string;
    readonly samples: number;
    readonly modelSha256: string;
    readonly dataSha256: string;
    readonly ranges: Readonly<Record<string, GoldenRange>>;
  }[];
}

interface GoldenRange {
  readonly min: string;
  readonly max: string;
  readonly uint8: { readonly zeroPoint: number; readonly scale: string };
  readonly int8Symmetric: { readonly zeroPoint: number; readonly scale: string };
}

const file = new URL('minmax.json', import.meta.url);
const golden = JSON.parse(readFileSync(file, 'utf8')) as Golden;

/** Bit pattern of a float32; fails for a number that is none. */
function bits(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatBE(value);
  expect(bytes.readFloatBE()).toBe(value);
  return bytes.toString('hex');
}

function fromBits(hexadecimal: string): number {
  return Buffer.from(hexadecimal, 'hex').readFloatBE();
}

function parameters(
  range: { readonly min: number; readonly max: number },
  dataType: IntegerType,
  symmetric: boolean,
): object {
  const { scale, zeroPoint } = chooseScale(range, { dataType, symmetric });
  return { zeroPoint, scale: bits(scale) };
}

const rangesOf = (statistics: ReadonlyMap<string, TensorStatistics>): Ranges =>
  new Map([...statistics].map(([name, { min, max }]) => [name, { min, max }]));

type Ranges = ReadonlyMap<string, { readonly min: number; readonly max: number }>;

/**
 * What onnxruntime's MinMax calibrator does, on this machine: ReduceMin and ReduceMax of every value
 * are outputs of the model itself, which is run with graph optimisation off.
 */
async function reduceInOnnxruntime(
  model: Model,
  values: readonly string[],
  dataset: Dataset,
): Promise<Ranges> {
  const folder = await temporaryFolder();
  const path = join(folder, 'reduced.onnx');
  await saveModel(withReductions(model, values), path);
  const session = await onnxruntimeRunner.load(path, { device: 'cpu', optimization: 'disabled' });
  const ranges = new Map(values.map((name) => [name, { min: Infinity, max: -Infinity }]));
  try {
    for await (const sample of dataset.samples('calibration')) {
      const found = await session.run(makeFeeds(feedInputs(model.graph), sample));
      for (const [name, { min, max }] of ranges) {
        const low = Number(found.get(`${name}_ReduceMin`)!.data[0]);
        const high = Number(found.get(`${name}_ReduceMax`)!.data[0]);
        ranges.set(name, { min: Math.min(min, low), max: Math.max(max, high) });
      }
    }
  } finally {
    await session.close();
  }
  return ranges;
}

function withReductions(model: Model, values: readonly string[]): Model {
  const reductions = values.flatMap((name) =>
    ['ReduceMin', 'ReduceMax'].map((opType) =>
      node(opType, [name], `${name}_${opType}`, { keepdims: 0n }),
    ),
  );
  return {
    ...model,
    graph: {
      ...model.graph,
      nodes: [...model.graph.nodes, ...reductions],
      outputs: reductions.map(({ outputs: [name = ''] }) => value(name, 'float32', [])),
    },
  };
}

/**
 * The golden values are made by onnxruntime's own Python calibrator: see make_minmax.py. They depend
 * on the processor they were made on: its vector width decides in which order float32 products are
 * added. So the ranges are held to the bit against onnxruntime on the same machine, against the golden
 * ones within what that order can change, and the arithmetic of scales to the bit against the golden ones.
 */
describe("ranges and scales equal to onnxruntime's MinMax calibrator", () => {
  it.each(golden.cases)('$model', async ({ model: path, data, samples, ...expected }) => {
    const remake = 'the fixture changed: run test/calibrate/golden/make_minmax.py';
    expect(await hashFile(`${root}/${path}`), remake).toBe(expected.modelSha256);
    const dataset = await openDataset(`${root}/${data}`, { samples });
    expect(dataset.hash, remake).toBe(expected.dataSha256);
    const model = convertToFloat32.run(await openModel(`${root}/${path}`), { decline: () => {} });
    const values = [...new Set(findLinears(model).map(({ input }) => input))];
    const { statistics } = await collectStatistics({
      model,
      values,
      dataset,
      openObserver: openOnnxruntimeObserver,
    });
    const ours = rangesOf(statistics);
    expect(ours).toEqual(await reduceInOnnxruntime(model, values, dataset));
    expect([...ours.keys()].sort()).toEqual(Object.keys(expected.ranges).sort());
    for (const [name, { min, max }] of ours) {
      const wanted = expected.ranges[name]!;
      const [low, high] = [fromBits(wanted.min), fromBits(wanted.max)];
      // Two orders of adding K products differ by at most 2 K 2^-24 of the sum of their magnitudes
      // (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 4.2); K is 512 or less.
      const tolerance = 2 ** -14 * Math.max(-low, high);
      expect(Math.abs(min - low), name).toBeLessThanOrEqual(tolerance);
      expect(Math.abs(max - high), name).toBeLessThanOrEqual(tolerance);
    }
  });

  it.each(golden.cases)('scales of $model, bit for bit', ({ ranges }) => {
    const ours = Object.entries(ranges).map(([name, { min, max }]) => {
      const range = { min: fromBits(min), max: fromBits(max) };
      return [
        name,
        {
          min,
          max,
          uint8: parameters(range, 'uint8', false),
          int8Symmetric: parameters(range, 'int8', true),
        },
      ];
    });
    expect(ours.length).toBeGreaterThan(0);
    expect(Object.fromEntries(ours)).toEqual(ranges);
  });
});
