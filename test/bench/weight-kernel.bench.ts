/**
 * The FP16 -> INT8 kernel against a copy of the same bytes, in turns in one thread. Acceptance: at
 * least 0.3 of the bytes per second of memcpy.
 */
import { expect, it } from 'vitest';
import { bootstrapMedianRatio } from '../../src/numerics/bootstrap.ts';
import { float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { median } from '../../src/numerics/quantile.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { createWeightKernel, type WeightBlock } from '../../src/numerics/weight-kernel.ts';
import { formatInterval, formatSignificant } from '../../src/report/format.ts';
import { describeMachine } from './machine.ts';

/** A block as the writer pulls it: 64 MiB of FP16. */
const ROWS = 8192;
const COLUMNS = 4096;
const PAIRS = 30;
const LEAST_SHARE = 0.3;

it('FP16 -> INT8 kernel against memcpy', async () => {
  const random = createRandom(1);
  const row = Float32Array.from({ length: COLUMNS }, () => 0.05 * random.normal());
  const kernel = createWeightKernel();
  const byteLength = ROWS * COLUMNS * 2;
  const source = new Uint8Array(byteLength);
  const pattern = new Uint8Array(float32ArrayToFloat16(row).buffer);
  for (let index = 0; index < ROWS; index++) source.set(pattern, index * pattern.length);
  const input = kernel.input(byteLength);
  input.set(source);
  const block: WeightBlock = {
    name: 'weight',
    dataType: 'float16',
    rowCount: ROWS,
    columnCount: COLUMNS,
    bytes: input,
  };
  const copied = new Uint8Array(byteLength);
  const quantized = new Int8Array(ROWS * COLUMNS);
  const rowScales = (await kernel.absMaxRows(block)).map((max) => max / 127);
  const columnScales = (await kernel.absMaxColumns(block)).map((max) => max / 127);
  const work: Readonly<Record<string, () => Promise<unknown> | undefined>> = {
    memcpy: () => void copied.set(source),
    'absmax of rows': () => kernel.absMaxRows(block),
    'absmax of columns': () => kernel.absMaxColumns(block),
    'quantize rows': () => kernel.quantizeRows(block, rowScales, 127, quantized),
    'quantize columns': () => kernel.quantizeColumns(block, columnScales, 127, quantized),
  };
  const times = await timeInTurns(work);
  const copy = times.get('memcpy') ?? [];
  const lines = ['', describeMachine(), `64 MiB of FP16, 1 thread, ${PAIRS} rounds in turns`];
  const shares = new Map<string, number>();
  for (const [name, own] of times) {
    const rate = formatSignificant(byteLength / (1e6 * median(own)), 3);
    const share = bootstrapMedianRatio(copy, own, { seed: 1, paired: true });
    shares.set(name, share.high);
    const relative = `${formatSignificant(share.estimate, 3)} of memcpy ${formatInterval(share)}`;
    lines.push(`${name.padEnd(20)}${rate.padStart(8)} GB/s of FP16   ${relative}`);
  }
  console.log(lines.join('\n'));
  // The interval has to prove a miss before the bench fails.
  expect(shares.get('quantize rows')).toBeGreaterThan(LEAST_SHARE);
  expect(shares.get('quantize columns')).toBeGreaterThan(LEAST_SHARE);
});

async function timeInTurns(
  work: Readonly<Record<string, () => Promise<unknown> | undefined>>,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const times = new Map<string, number[]>(Object.keys(work).map((name) => [name, []]));
  for (let round = -3; round < PAIRS; round++) {
    for (const [name, run] of Object.entries(work)) {
      const start = performance.now();
      await run();
      if (round >= 0) times.get(name)?.push(performance.now() - start);
    }
  }
  return times;
}
