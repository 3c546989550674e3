/**
 * FP16 -> INT8 against a plain copy of the same bytes, in one thread: `npx vitest bench --run
 * weight-kernel`. The kernel is to reach 0.3 of the copy; compare the `hz` columns.
 */
import { bench, describe } from 'vitest';
import { createWeightKernel, type WeightBlock } from '../../src/numerics/weight-kernel.ts';

const ROWS = 13696;
const COLUMNS = 4096;
const kernel = createWeightKernel();
const bytes = kernel.input(ROWS * COLUMNS * 2);
const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, ROWS * COLUMNS);
for (let index = 0; index < halves.length; index++) {
  halves[index] = 0x2000 + ((index * 7919) % 0x1800) + ((index & 1) << 15);
}
const foreign = bytes.slice();
const copy = new Uint8Array(bytes.length);
const into = new Int8Array(ROWS * COLUMNS);
const block: WeightBlock = {
  name: 'w',
  dataType: 'float16',
  rowCount: ROWS,
  columnCount: COLUMNS,
  bytes,
};
const rowScales = new Float32Array(ROWS).fill(0.01);
const columnScales = new Float32Array(COLUMNS).fill(0.01);
const options = { time: 1000, warmupTime: 200 };

describe('112 MB of FP16 weights', () => {
  bench('memcpy', () => copy.set(foreign), options);
  bench('absMaxRows', async () => void (await kernel.absMaxRows(block)), options);
  bench('absMaxColumns', async () => void (await kernel.absMaxColumns(block)), options);
  bench('quantizeRows', () => kernel.quantizeRows(block, rowScales, 127, into), options);
  bench('quantizeColumns', () => kernel.quantizeColumns(block, columnScales, 127, into), options);
  const elsewhere = { ...block, bytes: foreign };
  bench(
    'quantizeRows, bytes not in its input',
    () => kernel.quantizeRows(elsewhere, rowScales, 127, into),
    options,
  );
});
