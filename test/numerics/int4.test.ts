import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packInt4, unpackInt4, unpackUint4 } from '../../src/numerics/int4.ts';

test('The first value is in the low nibble and an odd end is padded with zero.', () => {
  expect([...packInt4(Int8Array.of(1, -2, 7))]).toEqual([0xe1, 0x07]);
  expect([...unpackInt4(Uint8Array.of(0xe1, 0x07), 3)]).toEqual([1, -2, 7]);
  expect([...unpackUint4(Uint8Array.of(0xe1, 0x07), 3)]).toEqual([1, 14, 7]);
});

test('Unpacking gives back what was packed.', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -8, max: 7 })), (list) => {
      expect([...unpackInt4(packInt4(Int8Array.from(list)), list.length)]).toEqual(list);
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 15 })), (list) => {
      expect([...unpackUint4(packInt4(Uint8Array.from(list)), list.length)]).toEqual(list);
    }),
  );
});
