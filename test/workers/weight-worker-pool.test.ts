import { afterAll, describe, expect, test } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import { float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { createWeightKernel, type WeightBlock } from '../../src/numerics/weight-kernel.ts';
import { createWeightWorkerPool } from '../../src/workers/weight-worker-pool.ts';

const pool = createWeightWorkerPool({ threadCount: 3, minByteLength: 0 });
afterAll(() => pool.close());

function randomBlock(rowCount: number, columnCount: number): WeightBlock {
  const random = createRandom(rowCount);
  const values = Float32Array.from({ length: rowCount * columnCount }, random.normal);
  const bytes = new Uint8Array(float32ArrayToFloat16(values).buffer);
  return { name: 'w', dataType: 'float16', rowCount, columnCount, bytes };
}

describe('A pool of weight workers', () => {
  test.each([
    [1, 7],
    [2, 50],
    [100, 33],
  ])('gives for %ix%i what one thread gives.', async (rowCount, columnCount) => {
    const kernel = createWeightKernel();
    const block = randomBlock(rowCount, columnCount);
    const rows = await pool.absMaxRows(block);
    const columns = await pool.absMaxColumns(block);
    expect(rows).toEqual(await kernel.absMaxRows(block));
    expect(columns).toEqual(await kernel.absMaxColumns(block));

    const expected = new Int8Array(rowCount * columnCount);
    const actual = new Int8Array(rowCount * columnCount);
    const rowScales = rows.map((absMax) => absMax / 127);
    await kernel.quantizeRows(block, rowScales, 127, expected);
    await pool.quantizeRows({ ...block, firstRow: 40 }, rowScales, 127, actual);
    expect(actual).toEqual(expected);

    const columnScales = columns.map((absMax) => absMax / 127);
    await kernel.quantizeColumns(block, columnScales, 127, expected);
    await pool.quantizeColumns(block, columnScales, 127, actual);
    expect(actual).toEqual(expected);
  });

  test('takes bytes that were read into its input as they lie.', async () => {
    const block = randomBlock(10, 20);
    const bytes = pool.input(block.bytes.length);
    expect(bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
    bytes.set(block.bytes);
    expect(await pool.absMaxRows({ ...block, bytes })).toEqual(await pool.absMaxRows(block));
  });

  test('refuses NaN with the row in the whole matrix.', async () => {
    const block = randomBlock(9, 4);
    new Uint16Array(block.bytes.buffer)[8 * 4] = 0x7e00;
    const refused = pool.absMaxRows({ ...block, firstRow: 100 });
    await expect(refused).rejects.toThrow(UnsupportedError);
    await expect(refused).rejects.toThrow('w: the weight holds NaN in row 108');
    expect(await pool.absMaxRows(randomBlock(9, 4))).toHaveLength(9);
  });
});
