import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createInt4Rows,
  dequantizeInt4Rows,
  type Int4BlockSize,
  type Int4Rows,
  int4Parameters,
  int4RowBytes,
  packNbitsWeight,
  packNbitsZeroPoints,
  quantizeInt4,
  searchInt4Parameters,
} from '../../src/numerics/int4-blocks.ts';
import { roundToNearest } from '../../src/quantize/weights/round-int4.ts';

const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 });
const block = fc.array(finite, { minLength: 1, maxLength: 128 });

/** One row of 40 features in blocks of 32: integers 0, 1, 2, ... modulo 16. */
function rampRows(): Int4Rows {
  const rows = createInt4Rows(1, 40, 32);
  rows.integers.set(Array.from({ length: 40 }, (_, index) => index % 16));
  rows.scales.set([0.5, -2]);
  rows.zeroPoints.set([8, 3]);
  return rows;
}

function weighted(
  values: readonly number[],
  importance: readonly number[],
  { scale, zeroPoint }: { scale: number; zeroPoint: number },
): number {
  return values.reduce((sum, value, index) => {
    const rounded = (quantizeInt4(value, { scale, zeroPoint }) - zeroPoint) * scale;
    return sum + importance[index]! * (rounded - value) ** 2;
  }, 0);
}

describe('int4Parameters', () => {
  it('gives the longer side the extra integer of symmetric blocks', () => {
    expect(int4Parameters([1, -4, 2], true)).toEqual({ scale: 0.5, zeroPoint: 8 });
    expect(int4Parameters([1, 4, -2], true)).toEqual({ scale: -0.5, zeroPoint: 8 });
    expect(quantizeInt4(4, { scale: -0.5, zeroPoint: 8 })).toBe(0);
  });

  it('spans the range with zero by 15 steps of asymmetric blocks', () => {
    expect(int4Parameters([-1, 14], false)).toEqual({ scale: 1, zeroPoint: 1 });
    expect(int4Parameters([3, 30], false)).toEqual({ scale: 2, zeroPoint: 0 });
    expect(int4Parameters([-30, -3], false)).toEqual({ scale: 2, zeroPoint: 15 });
  });

  it('has scale 1 and real zeros for a block without a normal number', () => {
    for (const symmetric of [true, false]) {
      for (const values of [[0, 0], [1e-42], [-1e-42]]) {
        const parameters = int4Parameters(values, symmetric);
        expect(parameters).toEqual({ scale: 1, zeroPoint: 8 });
        expect(quantizeInt4(values[0]!, parameters)).toBe(8);
      }
    }
  });

  it('leaves no value further than half a step, but symmetric ones at the short end', () => {
    fc.assert(
      fc.property(block, fc.boolean(), (values, symmetric) => {
        const parameters = int4Parameters(values, symmetric);
        const { scale, zeroPoint } = parameters;
        const reach = (15 - zeroPoint) * scale;
        for (const value of values) {
          const rounded = (quantizeInt4(value, parameters) - zeroPoint) * scale;
          const isPast = symmetric && value * Math.sign(scale) > Math.abs(reach);
          // The zero point itself is rounded, so asymmetric ends may be off by half a step more.
          const allowed = Math.abs(scale) * (symmetric ? (isPast ? 1 : 0.5) : 1);
          expect(Math.abs(rounded - value)).toBeLessThanOrEqual(allowed * (1 + 1e-6) + 1e-37);
        }
      }),
    );
  });
});

describe('searchInt4Parameters', () => {
  it('is never worse than the full range', () => {
    fc.assert(
      fc.property(
        block,
        fc.boolean(),
        fc.integer({ min: 1, max: 50 }),
        (values, symmetric, seed) => {
          const importance = values.map((_, index) => ((index * seed) % 7) + 0.5);
          const searched = searchInt4Parameters(values, importance, symmetric);
          const full = int4Parameters(values, symmetric);
          expect(weighted(values, importance, searched)).toBeLessThanOrEqual(
            weighted(values, importance, full),
          );
        },
      ),
    );
  });

  it('gives up an outlier that no input ever multiplies', () => {
    const values = [...Array.from({ length: 31 }, (_, index) => index / 31), 8];
    const dead = values.map((value) => (value === 8 ? 1e-9 : 1));
    const { scale } = searchInt4Parameters(values, dead, true);
    // 40 % of the widest range is as narrow as the search goes.
    expect(Math.abs(scale)).toBeCloseTo((0.4 * 8) / 7, 6);
    expect(
      Math.abs(
        searchInt4Parameters(
          values,
          values.map(() => 1),
          true,
        ).scale,
      ),
    ).toBeGreaterThan(0.8);
  });
});

interface GoldenCase {
  readonly k: number;
  readonly n: number;
  readonly blockSize: Int4BlockSize;
  readonly symmetric: boolean;
  readonly weights: string;
  readonly packed: string;
  readonly scales: string;
  readonly zeroPoints?: string;
}

describe('onnxruntime 1.30', () => {
  const file = new URL('golden/int4.json', import.meta.url);
  const cases: readonly GoldenCase[] = JSON.parse(readFileSync(file, 'utf8'));
  for (const { k, n, blockSize, symmetric, ...bytes } of cases) {
    it(`has the same bytes for K ${k} in blocks of ${blockSize}, ${symmetric ? '' : 'a'}symmetric`, () => {
      const weights = new Float32Array(
        Uint8Array.from(Buffer.from(bytes.weights, 'base64')).buffer,
      );
      const rows = createInt4Rows(n, k, blockSize);
      roundToNearest({ blockSize, symmetric })(weights, rows);
      expect(Buffer.from(packNbitsWeight(rows)).toString('base64')).toBe(bytes.packed);
      expect(Buffer.from(rows.scales.buffer).toString('base64')).toBe(bytes.scales);
      if (bytes.zeroPoints === undefined) return;
      expect(Buffer.from(packNbitsZeroPoints(rows)).toString('base64')).toBe(bytes.zeroPoints);
    });
  }
});

describe('MatMulNBits layout', () => {
  it('has the first feature in the low nibble and fills the last block with zeros', () => {
    const packed = packNbitsWeight(rampRows());
    expect(packed).toHaveLength(2 * 16);
    expect([...packed.subarray(0, 8)]).toEqual([0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe]);
    // Features 32..39 are 0..7.
    expect([...packed.subarray(16, 20)]).toEqual([0x10, 0x32, 0x54, 0x76]);
    expect(packed.subarray(20).every((byte) => byte === 0)).toBe(true);
  });

  it('packs zero points two blocks to a byte, each row on its own', () => {
    expect([...packNbitsZeroPoints(rampRows())]).toEqual([0x38]);
    const odd = createInt4Rows(2, 96, 32);
    odd.zeroPoints.set([1, 2, 3, 4, 5, 6]);
    expect([...packNbitsZeroPoints(odd)]).toEqual([0x21, 0x83, 0x54, 0x86]);
  });

  it('dequantizes by the block of each feature', () => {
    const values = dequantizeInt4Rows(rampRows());
    expect(values[0]).toBe(-4);
    expect(values[9]).toBe(0.5);
    expect(values[32]).toBe(6);
    expect(values[39]).toBe(-8);
  });

  it('holds every integer: unpacking gives back what was packed', () => {
    const sizes = fc.constantFrom<Int4BlockSize>(32, 64, 128);
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 150 }), fc.nat(), (blockSize, columns, seed) => {
        const rows = createInt4Rows(3, columns, blockSize);
        rows.integers.forEach((_, index) => {
          rows.integers[index] = (index * 7 + seed) % 16;
        });
        const packed = packNbitsWeight(rows);
        const rowBytes = packed.length / 3;
        const unpacked = rows.integers.map((_, index) => {
          const column = index % columns;
          const byte = packed[Math.floor(index / columns) * rowBytes + (column >>> 1)]!;
          return (byte >>> (4 * (column & 1))) & 15;
        });
        expect(unpacked).toEqual(rows.integers);
      }),
    );
  });

  it('counts the bytes that it stores', () => {
    expect(int4RowBytes(256, { blockSize: 128, symmetric: true })).toBe(2 * (64 + 4));
    expect(int4RowBytes(96, { blockSize: 32, symmetric: false })).toBe(3 * (16 + 4) + 2);
  });
});
