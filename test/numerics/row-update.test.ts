import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRowUpdate, PANEL } from '../../src/numerics/row-update.ts';
import { noise } from '../kit/models.ts';

test('Four factor rows after the other are taken from a row, bit for bit as loops take them.', () => {
  const width = fc.integer({ min: 1, max: 70 });
  fc.assert(
    fc.property(
      width,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(1000),
      (size, share, seed) => {
        const from = Math.min(Math.floor(share * size), size - 1);
        const update = createRowUpdate(2, size);
        update.rows.set(noise(seed, 2 * size));
        update.factor.set(noise(seed + 1, PANEL * size));
        update.errors.set(noise(seed + 2, 2 * PANEL));
        const before = update.rows.slice();
        update.subtract(1, from, size);
        const { factor, errors } = update;
        const expected = before.slice();
        for (let column = from; column < size; column++) {
          for (let group = 0; group < PANEL; group += 4) {
            const at = (index: number): number =>
              errors[PANEL + group + index]! * factor[(group + index) * size + column]!;
            expected[size + column]! -= at(0) + at(1) + (at(2) + at(3));
          }
        }
        expect(update.rows).toEqual(expected);
      },
    ),
  );
});
