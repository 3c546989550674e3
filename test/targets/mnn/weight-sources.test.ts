import { describe, expect, it } from 'vitest';
import { inlineSource, inlineTensor, type TensorSource } from '../../../src/ir/tensor.ts';
import {
  float16Source,
  float32Source,
  int32Source,
  turnedSource,
} from '../../../src/targets/mnn/weight-sources.ts';
import { floats, noise } from '../../kit/models.ts';

async function bytesOf(source: TensorSource): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(source.byteLength);
  await source.read(bytes, 0);
  return bytes;
}

describe('bytes of constants for MNN', () => {
  it.each([2, 4] as const)(
    'turn a matrix of elements of %s bytes, by whole and by odd parts',
    async (width) => {
      const [rows, columns] = [5, 700];
      const numbers = Array.from({ length: rows * columns }, (_, at) => at * 7 + 1);
      const data = width === 2 ? Uint16Array.from(numbers) : Uint32Array.from(numbers);
      const source = turnedSource(inlineSource(new Uint8Array(data.buffer)), rows, columns, width);
      const expected = numbers.map(
        (_, at) => numbers[(at % rows) * columns + Math.floor(at / rows)],
      );
      const whole = await bytesOf(source);
      expect([
        ...(width === 2 ? new Uint16Array(whole.buffer) : new Uint32Array(whole.buffer)),
      ]).toEqual(expected);
      const part = new Uint8Array(31);
      await source.read(part, 13);
      expect(part).toEqual(whole.subarray(13, 44));
    },
  );

  it('widen float16 exactly and round float32 to nearest', async () => {
    const half = floats('h', [4], [0.5, -2, 65504, 6e-8], 'float16');
    const wide = new Float32Array((await bytesOf(float32Source(half))).buffer);
    expect([...wide]).toEqual([0.5, -2, 65504, 2 ** -24]);
    const values = noise(3, 1000);
    const rounded = new Uint16Array(
      (await bytesOf(float16Source(floats('f', [1000], values)))).buffer,
    );
    expect([...rounded]).toEqual([
      ...new Uint16Array((await bytesOf(floats('g', [1000], values, 'float16').source)).buffer),
    ]);
  });

  it('take int64 where it fits 32 bits, and name the constant where it does not', async () => {
    const int64 = (values: readonly bigint[]) =>
      inlineTensor(
        'ids',
        'int64',
        [values.length],
        new Uint8Array(BigInt64Array.from(values).buffer),
      );
    const fits = await bytesOf(int32Source(int64([-5n, 2147483647n])));
    expect([...new Int32Array(fits.buffer)]).toEqual([-5, 2147483647]);
    await expect(bytesOf(int32Source(int64([2n ** 31n])))).rejects.toThrow(
      'constant ids: MNN has 32-bit integers alone (got 2147483648, expected at most 2147483647 either way).',
    );
  });
});
