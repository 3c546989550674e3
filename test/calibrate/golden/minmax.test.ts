import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { collectStatistics } from '../../../src/calibrate/collect-statistics.ts';
import { openDataset } from '../../../src/calibrate/dataset.ts';
import type { TensorStatistics } from '../../../src/calibrate/statistics.ts';
import { chooseScale, type IntegerType } from '../../../src/numerics/affine.ts';
import { convertToFloat32 } from '../../../src/passes/convert-to-float32.ts';
import { findLinears } from '../../../src/passes/find-linears.ts';
import { openOnnxruntimeObserver } from '../../../src/runners/observer.ts';
import { hashFile } from '../../../src/storage/hash-file.ts';
import { openModel } from '../../../src/storage/model-file.ts';

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

const root = fileURLToPath(new URL('../../..', import.meta.url));
const file = new URL('minmax.json', import.meta.url);
const golden = JSON.parse(readFileSync(file, 'utf8')) as Golden;

/** Bit pattern of a float32; fails for a number that is none. */
function bits(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatBE(value);
  expect(bytes.readFloatBE()).toBe(value);
  return bytes.toString('hex');
}

function parameters(
  statistics: TensorStatistics,
  dataType: IntegerType,
  symmetric: boolean,
): object {
  const { scale, zeroPoint } = chooseScale(statistics, { dataType, symmetric });
  return { zeroPoint, scale: bits(scale) };
}

/** The golden values are made by onnxruntime's own Python calibrator: see make_minmax.py. */
describe("ranges and scales equal to onnxruntime's MinMax calibrator, bit for bit", () => {
  it.each(golden.cases)('$model', async ({ model: path, data, samples, ...expected }) => {
    const remake = 'the fixture changed: run test/calibrate/golden/make_minmax.py';
    expect(await hashFile(`${root}/${path}`), remake).toBe(expected.modelSha256);
    const dataset = await openDataset(`${root}/${data}`, { samples });
    expect(dataset.hash, remake).toBe(expected.dataSha256);
    const model = convertToFloat32.run(await openModel(`${root}/${path}`), { decline: () => {} });
    const { statistics } = await collectStatistics({
      model,
      values: findLinears(model).map(({ input }) => input),
      dataset,
      openObserver: openOnnxruntimeObserver,
    });
    const ours = Object.fromEntries(
      [...statistics].map(([name, found]) => [
        name,
        {
          min: bits(found.min),
          max: bits(found.max),
          uint8: parameters(found, 'uint8', false),
          int8Symmetric: parameters(found, 'int8', true),
        },
      ]),
    );
    expect(ours).toEqual(expected.ranges);
  });
});
