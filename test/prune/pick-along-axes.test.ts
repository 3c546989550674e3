import { describe, expect, it } from 'vitest';
import { inlineTensor, readTensorBytes, type Tensor } from '../../src/ir/tensor.ts';
import { pickAlongAxes, ranges } from '../../src/prune/pick-along-axes.ts';
import { floats } from '../kit/models.ts';

async function numbers(tensor: Tensor): Promise<number[]> {
  return [...new Float32Array((await readTensorBytes(tensor)).slice().buffer)];
}

/** The same bytes behind a source that is read, as weights of a file are, and what was read of it. */
function onDisk(tensor: Tensor): { readonly tensor: Tensor; readonly reads: number[] } {
  const bytes = tensor.source.bytes!;
  const reads: number[] = [];
  const source = {
    byteLength: bytes.byteLength,
    key: tensor.name,
    read: async (into: Uint8Array, offset = 0): Promise<void> => {
      reads.push(into.byteLength);
      into.set(bytes.subarray(offset, offset + into.byteLength));
    },
  };
  return { tensor: { ...tensor, source }, reads };
}

describe('pickAlongAxes', () => {
  const cube = floats('w', [2, 3, 4], [...Array(24).keys()]);

  it.each([
    [
      'the last axis',
      new Map([[2, [0, 3]]]),
      [2, 3, 2],
      [0, 3, 4, 7, 8, 11, 12, 15, 16, 19, 20, 23],
    ],
    ['the middle axis', new Map([[1, [2]]]), [2, 1, 4], [8, 9, 10, 11, 20, 21, 22, 23]],
    [
      'the first axis',
      new Map([[0, [1]]]),
      [1, 3, 4],
      [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23],
    ],
    [
      'two axes',
      new Map([
        [0, [1]],
        [2, [1, 2]],
      ]),
      [1, 3, 2],
      [13, 14, 17, 18, 21, 22],
    ],
    ['nothing', new Map([[1, []]]), [2, 0, 4], []],
  ] as const)(
    'keeps the listed indices along %s, in memory and read in pieces',
    async (_, kept, dims, expected) => {
      const picked = pickAlongAxes(cube, kept);
      expect(picked.dims).toEqual(dims);
      expect(await numbers(picked)).toEqual(expected);
      const lazy = pickAlongAxes(onDisk(cube).tensor, kept);
      expect(lazy.source.bytes).toBeUndefined();
      expect(await numbers(lazy)).toEqual(expected);
    },
  );

  it('gives the same tensor back where nothing is listed', () => {
    expect(pickAlongAxes(cube, new Map())).toBe(cube);
  });

  it('reads rows beside each other at once, and long runs by themselves', async () => {
    const wide = floats('wide', [6, 2048], [...Array(6 * 2048).keys()]);
    const { tensor, reads } = onDisk(wide);
    const picked = pickAlongAxes(tensor, new Map([[0, [0, 1, 2, 5]]]));
    const found = await numbers(picked);
    expect([found[0], found[2048], found[3 * 2048]]).toEqual([0, 2048, 5 * 2048]);
    // Rows 0 to 2 are one read of 3 * 8 KiB, row 5 another.
    expect(reads).toEqual([3 * 8192, 8192]);
  });

  it('cuts elements of two bytes and of one', async () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const half = pickAlongAxes(inlineTensor('h', 'float16', [2, 2], bytes), new Map([[1, [1]]]));
    expect([...(await readTensorBytes(half))]).toEqual([3, 4, 7, 8]);
    const int8 = pickAlongAxes(inlineTensor('q', 'int8', [2, 4], bytes), new Map([[1, [0, 2]]]));
    expect([...(await readTensorBytes(int8))]).toEqual([1, 3, 5, 7]);
  });

  it('refuses elements that share a byte, naming the tensor', () => {
    const packed = inlineTensor('q4', 'int4', [2, 4], new Uint8Array(4));
    expect(() => pickAlongAxes(packed, new Map([[1, [0]]]))).toThrow(
      /^q4: channels cannot be cut from int4 \(expected whole bytes\)/,
    );
  });

  it('names equal cuts of equal bytes alike, so that a shared weight stays one', () => {
    const { tensor } = onDisk(cube);
    const key = (kept: ReadonlyMap<number, readonly number[]>) =>
      pickAlongAxes(tensor, kept).source.key;
    expect(
      key(
        new Map([
          [0, [1]],
          [2, [1, 2]],
        ]),
      ),
    ).toBe(
      key(
        new Map([
          [2, [1, 2]],
          [0, [1]],
        ]),
      ),
    );
    expect(key(new Map([[2, [1, 2]]]))).not.toBe(key(new Map([[2, [1, 3]]])));
  });
});

describe('ranges', () => {
  it('writes runs as first and last', () => {
    expect(ranges([0, 1, 2, 3, 7, 9, 10])).toBe('0-3,7,9-10');
    expect(ranges([])).toBe('');
  });
});
