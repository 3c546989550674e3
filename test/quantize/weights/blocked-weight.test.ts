import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import { readTensorBytes, type Tensor, type TensorSource } from '../../../src/ir/tensor.ts';
import { createWeightKernel } from '../../../src/numerics/weight-kernel.ts';
import {
  type BlockedWeight,
  createBlockQuantizer,
} from '../../../src/quantize/weights/blocked-weight.ts';
import { floats } from '../../kit/models.ts';

const quantizeBlocks = createBlockQuantizer(createWeightKernel());

function bytesOf(source: TensorSource): Promise<Uint8Array> {
  return readTensorBytes({ name: '', dataType: 'uint8', dims: [], source });
}

async function read({ values, scales }: BlockedWeight) {
  const bytes = await bytesOf(scales);
  return { integers: [...(await bytesOf(values))], scales: [...new Float32Array(bytes.buffer)] };
}

/** The matrix [out, in] as exporters store it for MatMul: [in, out]. */
function turned(tensor: Tensor, values: readonly number[]): Tensor {
  const [rows, columns] = tensor.dims as readonly [number, number];
  const moved = Array.from(
    { length: values.length },
    (_, index) => values[(index % rows) * columns + Math.floor(index / rows)]!,
  );
  return floats('w', [columns, rows], moved, 'float16');
}

describe('createBlockQuantizer', () => {
  it('gives each block the scale absmax / 127, ties to even, and 128 for zero', async () => {
    const values = new Array<number>(128).fill(0);
    // Row 0: a block with absmax 127, then one of absmax 254; row 1: zeros, then 1.
    values.splice(0, 4, 127, 2.5, 3.5, -127);
    values.splice(32, 3, -254, 5, 1);
    values[96] = 1;
    const { integers, scales } = await read(quantizeBlocks(floats('w', [2, 64], values), 0, 32));
    expect(scales).toEqual([1, 2, 1, Math.fround(1 / 127)]);
    expect(integers.slice(0, 5)).toEqual([255, 130, 132, 1, 128]);
    // 5 / 2 and 1 / 2 are ties.
    expect(integers.slice(32, 36)).toEqual([1, 130, 128, 128]);
    expect(integers[96]).toBe(255);
  });

  const matrices = fc
    .record({ rows: fc.integer({ min: 1, max: 9 }), blocks: fc.integer({ min: 1, max: 4 }) })
    .chain(({ rows, blocks }) =>
      fc.record({
        rows: fc.constant(rows),
        columns: fc.constant(blocks * 32),
        values: fc.array(fc.integer({ min: -2048, max: 2048 }), {
          minLength: rows * blocks * 32,
          maxLength: rows * blocks * 32,
        }),
      }),
    );

  it('gives the same bytes whichever way the weight lies', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, async ({ rows, columns, values }) => {
        const lying = floats('w', [rows, columns], values, 'float16');
        const standing = quantizeBlocks(turned(lying, values), 1, 32);
        expect(await read(standing)).toEqual(await read(quantizeBlocks(lying, 0, 32)));
      }),
    );
  });

  it('gives each of several weights its own scales, in whatever order they are read', async () => {
    const weights = [1, 2, 3].map((value) =>
      quantizeBlocks(floats('w', [1, 32], new Array(32).fill(value)), 0, 32),
    );
    for (const index of [0, 2, 1, 0]) {
      const { scales, integers } = await read(weights[index]!);
      expect(scales).toEqual([Math.fround((index + 1) / 127)]);
      expect(new Set(integers)).toEqual(new Set([255]));
    }
  });

  it('is within half a step of every weight', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, async ({ rows, columns, values }) => {
        const tensor = floats('w', [rows, columns], values, 'float16');
        const { integers, scales } = await read(quantizeBlocks(tensor, 0, 32));
        values.forEach((value, index) => {
          const scale = scales[Math.floor(index / 32)]!;
          const error = Math.abs(value - (integers[index]! - 128) * scale);
          // The scale was rounded to float32: 127 steps of it may miss the end by 127 roundings.
          expect(error).toBeLessThanOrEqual(scale / 2 + 127 * scale * 2 ** -24);
        });
      }),
    );
  });

  it.each([0, 1])('names a tensor that holds infinity, channels along axis %i', async (axis) => {
    const values = new Array<number>(1024).fill(1);
    values[40] = Number.POSITIVE_INFINITY;
    const weight = quantizeBlocks(floats('bad', [32, 32], values), axis, 32);
    await expect(bytesOf(weight.values)).rejects.toThrow(UnsupportedError);
    await expect(bytesOf(weight.scales)).rejects.toThrow(/^bad: /);
  });
});
