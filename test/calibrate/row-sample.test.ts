import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  mergeRows,
  type RowSample,
  rowValues,
  sampleRows,
} from '../../src/calibrate/row-sample.ts';

const WIDTH = 3;

/** The sample of runs of rows; the reach of a run is its largest magnitude. */
function sampleOf(runs: readonly (readonly number[])[]): RowSample {
  return runs.reduce<RowSample>((sample, run) => {
    const values = Float32Array.from(run);
    const reach = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return sampleRows(sample, values, WIDTH, reach);
  }, []);
}

const row = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: WIDTH, maxLength: WIDTH });
const runs = fc.array(
  fc.array(row, { minLength: 1, maxLength: 6 }).map((rows) => rows.flat()),
  { maxLength: 8 },
);

describe('A sample of rows', () => {
  test('is the same for any order and any split of the runs.', () => {
    fc.assert(
      fc.property(runs, runs, (first, second) => {
        const whole = sampleOf([...first, ...second]);
        expect(sampleOf([...second, ...first])).toEqual(whole);
        expect(mergeRows(sampleOf(first), sampleOf(second))).toEqual(whole);
        expect(mergeRows(sampleOf(second), sampleOf(first))).toEqual(whole);
      }),
    );
  });

  test('has each row once, with the reach of the run that reached farthest.', () => {
    const sample = sampleOf([
      [1, 2, 3, 1, 2, 3],
      [1, 2, 3, -9, 0, 0],
      [1, 2, 3, 4, 4, 4],
    ]);
    const found = sample.map((sampled) => [[...rowValues(sampled)], sampled.reach]);
    expect(found).toHaveLength(3);
    expect(found).toContainEqual([[1, 2, 3], 9]);
    expect(found).toContainEqual([[-9, 0, 0], 9]);
    expect(found).toContainEqual([[4, 4, 4], 4]);
  });

  test('leaves out rows of zeros, of either sign, and rows that are not finite.', () => {
    const values = [0, -0, 0, 1, Number.NaN, 2, Number.POSITIVE_INFINITY, 0, 1, -0, 0, 5];
    const sample = sampleRows([], Float32Array.from(values), WIDTH, 5);
    expect(sample.map((sampled) => [...rowValues(sampled)])).toEqual([[0, 0, 5]]);
    expect(sampleRows([], Float32Array.of(0, -0, 5), WIDTH, 5)).toEqual(sample);
  });

  test('keeps eight of many, and bfloat16 of them: 8 bits of each value.', () => {
    const sample = sampleOf(Array.from({ length: 40 }, (_, index) => [index + 1, 0.1, -300.7]));
    expect(sample).toHaveLength(8);
    // 0.1 and 300.7 cut to 8 significant bits.
    expect(rowValues(sample[0]!).slice(1)).toEqual(Float32Array.of(0.099609375, -300));
    const indices = sample.map((sampled) => rowValues(sampled)[0]!);
    // Drawn from everywhere: were it by order, all would lie in the first or last fifth.
    expect(Math.max(...indices) - Math.min(...indices)).toBeGreaterThan(8);
  });
});
