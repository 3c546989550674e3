import fc from 'fast-check';
import { expect, test } from 'vitest';
import { float16ArrayToFloat32, float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { type Factors, scaleRows } from '../../src/numerics/scale-rows.ts';

const { fround } = Math;

function reference(values: Float32Array, columnCount: number, factors: Factors): Float32Array {
  return values.map((value, index) => {
    const ofRow = factors.rows?.[Math.floor(index / columnCount)] ?? 1;
    const ofColumn = factors.columns?.[index % columnCount] ?? 1;
    return fround(fround(value * ofRow) * ofColumn);
  });
}

function scaled16(bits: Uint16Array, columnCount: number, factors: Factors): Uint16Array {
  const copy = bits.slice();
  const bytes = new Uint8Array(copy.buffer);
  const rowCount = bits.length / columnCount;
  scaleRows({ name: 'w', dataType: 'float16', rowCount, columnCount, bytes }, factors);
  return copy;
}

/** All NaN patterns mean the same. */
function sameNaN(bits: Uint16Array): Uint16Array {
  return bits.map((pattern) => ((pattern & 0x7fff) > 0x7c00 ? 0x7e00 : pattern));
}

test.each([1, 0.5, 2 ** -9, 2 ** 9, 1.1, 3e-5, 777.7])(
  'every float16 pattern times %d is the product in float32, narrowed',
  (factor) => {
    const bits = Uint16Array.from({ length: 65536 }, (_, pattern) => pattern);
    const factors = { rows: Float32Array.of(factor) };
    const products = reference(float16ArrayToFloat32(bits), 65536, factors);
    const expected = float32ArrayToFloat16(products);
    expect(sameNaN(scaled16(bits, 65536, factors))).toEqual(sameNaN(expected));
  },
);

test('every float16 pattern, widened, is the product in float32', () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, pattern) => pattern);
  const factors = { rows: Float32Array.of(777.7), columns: new Float32Array(65536).fill(1.1) };
  const widened = new Float32Array(65536);
  const [bytes, into] = [new Uint8Array(bits.buffer), new Uint8Array(widened.buffer)];
  const block = { name: 'w', dataType: 'float16', rowCount: 1, columnCount: 65536, bytes } as const;
  scaleRows(block, factors, into);
  expect(widened).toEqual(reference(float16ArrayToFloat32(bits), 65536, factors));
  expect(bits[0x1234]).toBe(0x1234);
});

test('a row is multiplied by its own factor and each column by its own, whatever the shape', () => {
  const factor = fc.float({ min: 2 ** -12, max: 2 ** 12, noNaN: true });
  const shape = fc.record({ rowCount: fc.integer({ min: 1, max: 9 }), columnCount: fc.nat(40) });
  fc.assert(
    fc.property(shape, fc.infiniteStream(factor), ({ rowCount, columnCount }, stream) => {
      const take = (count: number): Float32Array => Float32Array.from(stream.take(count));
      const factors = { rows: take(rowCount), columns: take(columnCount) };
      const values = take(rowCount * columnCount);
      const expected = reference(values, columnCount, factors);
      const bytes = new Uint8Array(values.buffer);
      scaleRows({ name: 'w', dataType: 'float32', rowCount, columnCount, bytes }, factors);
      expect(values).toEqual(expected);
      const halves = float32ArrayToFloat16(take(rowCount * columnCount));
      const narrowed = reference(float16ArrayToFloat32(halves), columnCount, factors);
      if (columnCount === 0) return;
      expect(scaled16(halves, columnCount, factors)).toEqual(float32ArrayToFloat16(narrowed));
    }),
  );
});

test.each([
  [3, 40001],
  [20000, 16],
])('a matrix of %dx%d, which takes several tiles, is scaled in full', (rowCount, columnCount) => {
  const ramp = (count: number): Float32Array =>
    Float32Array.from({ length: count }, (_, index) => 0.5 + ((index * 7) % 13));
  const factors = { rows: ramp(rowCount), columns: ramp(columnCount) };
  const bits = Uint16Array.from({ length: rowCount * columnCount }, (_, index) => index % 0x5000);
  const expected = reference(float16ArrayToFloat32(bits), columnCount, factors);
  expect(scaled16(bits, columnCount, factors)).toEqual(float32ArrayToFloat16(expected));
  const widened = new Float32Array(bits.length);
  const bytes = new Uint8Array(bits.buffer);
  const block = { name: 'w', dataType: 'float16', rowCount, columnCount, bytes } as const;
  scaleRows(block, factors, new Uint8Array(widened.buffer));
  expect(widened).toEqual(expected);
});

test('rows from the middle of a matrix take the factors of their place', () => {
  const bytes = new Uint8Array(Float32Array.of(1, 1, 1, 1).buffer);
  const rows = Float32Array.of(2, 3, 5, 7);
  scaleRows(
    { name: 'w', dataType: 'float32', rowCount: 2, columnCount: 2, firstRow: 2, bytes },
    { rows },
  );
  expect([...new Float32Array(bytes.buffer)]).toEqual([5, 5, 7, 7]);
});
