import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openArrays } from '../../../src/calibrate/data/array-rows.ts';
import { FormatError } from '../../../src/errors.ts';
import { npy, npz } from '../../kit/numpy-files.ts';
import { sharedFolder } from '../../kit/temporary-folder.ts';

const folder = sharedFolder();
let files = 0;

function write(bytes: Uint8Array, extension: string): string {
  const path = join(folder, `array${files++}.${extension}`);
  writeFileSync(path, bytes);
  return path;
}

async function rowsOf(path: string, indices: readonly number[], which = 0): Promise<unknown[]> {
  const rows: unknown[] = [];
  const array = (await openArrays(path))[which]!;
  for await (const row of array.rows(indices)) rows.push([...row.data]);
  return rows;
}

describe('arrays of NumPy', () => {
  it('are read row by row from npy, stored npz and compressed npz', async () => {
    const array = npy('<f4', [3, 2], Float32Array.of(0, 1, 2, 3, 4, 5));
    for (const path of [
      write(array, 'npy'),
      write(npz({ x: array }, 0), 'npz'),
      write(npz({ x: array }, 6), 'npz'),
    ]) {
      const [opened] = await openArrays(path);
      expect(opened).toMatchObject({ dataType: 'float32', dims: [3, 2] });
      expect(await rowsOf(path, [0, 2])).toEqual([
        [0, 1],
        [4, 5],
      ]);
    }
  });

  it('keep every element type, float16 as bit patterns', async () => {
    const cases = [
      ['<f2', Uint16Array.of(0x3c00)],
      ['<f8', Float64Array.of(0.1)],
      ['<i8', BigInt64Array.of(-(2n ** 62n))],
      ['<u8', BigUint64Array.of(2n ** 63n)],
      ['|b1', Uint8Array.of(1)],
      ['|i1', Int8Array.of(-7)],
      ['<i4', Int32Array.of(-70_000)],
    ] as const;
    for (const [descr, data] of cases) {
      const path = write(npy(descr, [1], data), 'npy');
      expect(await rowsOf(path, [0])).toEqual([[...data]]);
    }
  });

  it('give the chosen rows whatever the chunk borders of the inflater are', async () => {
    const width = 5000;
    const data = Float32Array.from({ length: 40 * width }, (_, index) => Math.fround(index * 1.37));
    const path = write(npz({ x: npy('<f4', [40, width], data) }, 6), 'npz');
    await fc.assert(
      fc.asyncProperty(fc.subarray(Array.from({ length: 40 }, (_, i) => i)), async (indices) => {
        const rows = (await rowsOf(path, indices)) as number[][];
        expect(rows.map((row) => row[width - 1])).toEqual(
          indices.map((index) => data[index * width + width - 1]),
        );
        expect(rows.map((row) => row[0])).toEqual(indices.map((index) => data[index * width]));
      }),
      { numRuns: 20 },
    );
  });

  it('that are damaged or of a strange kind are refused by name', async () => {
    const good = npy('<f4', [3, 2], new Float32Array(6));
    const refuse = async (bytes: Uint8Array, extension: string, message: RegExp): Promise<void> => {
      const path = write(bytes, extension);
      const read = rowsOf(path, [0, 2]);
      await expect(read).rejects.toThrow(FormatError);
      await expect(read).rejects.toThrow(message);
    };
    await refuse(Buffer.from('hello world, hello world'), 'npy', /not a NumPy array/);
    await refuse(good.subarray(0, 20), 'npy', /ends inside its header/);
    await refuse(good.subarray(0, good.length - 1), 'npy', /ends early/);
    await refuse(npy('>f4', [1], new Float32Array(1)), 'npy', /type >f4/);
    await refuse(npy('|O', [1], new Float32Array(1)), 'npy', /type \|O/);
    await refuse(npy('<f4', [], new Float32Array(1)), 'npy', /single number/);
    const archive = npz({ x: good }, 6);
    await refuse(archive.subarray(0, 40), 'npz', /not a zip archive/);
    const broken = Buffer.from(archive);
    broken.fill(0xff, 35, 60);
    await refuse(broken, 'npz', /damaged/);
  });
});
