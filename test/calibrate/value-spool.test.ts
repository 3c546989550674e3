import { readdirSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ValueSpool } from '../../src/calibrate/value-spool.ts';
import type { TensorValue } from '../../src/values/tensor-value.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

/** An empty folder that is the system's temporary one until the test ends. */
function ownTemporaryFolder(): string {
  const before = process.env['TMPDIR'];
  const folder = temporaryFolder();
  process.env['TMPDIR'] = folder;
  onTestFinished(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
  return folder;
}

function floats(...values: number[]): TensorValue {
  return { dataType: 'float32', dims: [values.length], data: Float32Array.from(values) };
}

const COUNTS: TensorValue = {
  dataType: 'int64',
  dims: [2, 1],
  data: BigInt64Array.of(-1n, 2n ** 62n),
};
const FLAGS: TensorValue = { dataType: 'bool', dims: [3], data: Uint8Array.of(1, 0, 1) };

describe('a value spool', () => {
  it.each([
    { place: 'in memory', memoryBytes: 1e6, files: 0 },
    { place: 'on disk', memoryBytes: 0, files: 1 },
  ])('gives back the same bits $place', async ({ memoryBytes, files }) => {
    const folder = ownTemporaryFolder();
    const spool = new ValueSpool(memoryBytes);
    const odd = floats(-0, Number.NaN, Infinity, 1e-45);
    await spool.put('flags', 0, FLAGS);
    await spool.put('x', 0, odd);
    await spool.put('x', 1, floats(1, 2, 3));
    await spool.put('counts', 0, COUNTS);
    expect(readdirSync(folder).length).toBe(files);
    expect(await spool.get('x', 1)).toEqual(floats(1, 2, 3));
    const back = await spool.get('x', 0);
    expect(back.dims).toEqual([4]);
    expect(new Uint8Array(back.data.buffer, back.data.byteOffset, 16)).toEqual(
      new Uint8Array(odd.data.buffer),
    );
    expect(await spool.get('counts', 0)).toEqual(COUNTS);
    expect(await spool.get('flags', 0)).toEqual(FLAGS);
    await spool.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('spills what does not fit, and has room again for what was dropped', async () => {
    ownTemporaryFolder();
    const spool = new ValueSpool(8);
    await spool.put('a', 0, floats(1, 2));
    expect(spool.spilledBytes).toBe(0);
    await spool.put('b', 0, floats(3, 4, 5));
    expect(spool.spilledBytes).toBe(12);
    spool.drop('a', 0);
    await spool.put('c', 0, floats(6));
    expect(spool.spilledBytes).toBe(12);
    await expect(spool.get('a', 0)).rejects.toThrow(RangeError);
    await spool.dropAll('b');
    expect(spool.spilledBytes).toBe(0);
    await spool.close();
  });
});
