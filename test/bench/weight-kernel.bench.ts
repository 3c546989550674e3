/** FP16 -> INT8 against a plain copy of the same bytes, in one thread and in turns. */
import { describe, expect, it } from 'vitest';
import { createWeightKernel, type WeightBlock } from '../../src/numerics/weight-kernel.ts';
import { describeMachine } from './machine.ts';
import { timeInTurns } from './time-in-turns.ts';

const ROWS = 13696;
const COLUMNS = 4096;
/** Share of memcpy's bytes per second that the kernel is to reach. */
const LEAST_SHARE = 0.3;

describe('112 MB of FP16 weights', () => {
  it('are quantized at 0.3 of the speed of a copy or more', async () => {
    const kernel = createWeightKernel();
    const bytes = kernel.input(ROWS * COLUMNS * 2);
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, ROWS * COLUMNS);
    for (let index = 0; index < halves.length; index++) {
      halves[index] = 0x2000 + ((index * 7919) % 0x1800) + ((index & 1) << 15);
    }
    const foreign = bytes.slice();
    const copy = new Uint8Array(bytes.length);
    const into = new Int8Array(ROWS * COLUMNS);
    const shape = { name: 'w', dataType: 'float16', rowCount: ROWS, columnCount: COLUMNS } as const;
    const block: WeightBlock = { ...shape, bytes };
    const rows = new Float32Array(ROWS).fill(0.01);
    const columns = new Float32Array(COLUMNS).fill(0.01);
    const medians = await timeInTurns(
      [
        ['memcpy', () => copy.set(foreign)],
        ['absMaxRows', () => kernel.absMaxRows(block)],
        ['absMaxColumns', () => kernel.absMaxColumns(block)],
        ['quantizeRows', () => kernel.quantizeRows(block, rows, 127, into)],
        ['quantizeColumns', () => kernel.quantizeColumns(block, columns, 127, into)],
        [
          'quantizeRows, bytes elsewhere',
          () => kernel.quantizeRows({ ...shape, bytes: foreign }, rows, 127, into),
        ],
      ],
      15,
    );
    const memcpy = medians.get('memcpy')!;
    console.log(`\n${describeMachine()}\n${'one thread'.padEnd(32)}GB/s of FP16   of memcpy`);
    for (const [name, milliseconds] of medians) {
      const rate = (bytes.length / milliseconds / 1e6).toFixed(1).padStart(12);
      console.log(`${name.padEnd(32)}${rate}${(memcpy / milliseconds).toFixed(2).padStart(12)}`);
    }
    expect(memcpy / medians.get('quantizeRows')!).toBeGreaterThan(LEAST_SHARE);
    expect(memcpy / medians.get('quantizeColumns')!).toBeGreaterThan(LEAST_SHARE);
  });
});
