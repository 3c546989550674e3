import { roundHalfToEven } from '../../numerics/affine.ts';
import { type CarriedRow, carryErrors } from './carry-errors.ts';
import type { GptqCarry } from './gptq.ts';

/** INT8 weights span -127..127. */
const LIMIT = 127;
/** Two neighbours of one sign may sum to this: `255 * 128` fits 16 bits, `255 * 129` does not. */
const PAIR_LIMIT = 128;

/** How rows are laid on INT8. */
export interface Int8Grid {
  /** One scale for each row. */
  readonly scales: Float32Array;
  /** Whether neighbours 2k and 2k + 1 stay within what no CPU saturates at. */
  readonly isPairSafe: boolean;
}

/** A carry whose factor takes features in an order of its own. */
export interface OrderedCarry extends GptqCarry {
  /** Features in the order in which they are rounded. */
  readonly order: Uint32Array;
}

/**
 * Rounds float32 rows `[out, in]` to int8 by GPTQ (Frantar et al. 2022): features one after the other, the error of
 * each made good by those that follow as far as the inputs are correlated. Scales are given, so carried errors may
 * want more than the integers hold: those are clipped, and the rest of the error is carried on. The second of two
 * neighbours of one sign is clipped where their sum would pass 128.
 */
export function roundInt8ByGptq(
  weights: Float32Array,
  grid: Int8Grid,
  carry: OrderedCarry,
  into: Int8Array,
): void {
  const { width, order } = carry;
  const rowCount = grid.scales.length;
  // A neighbour that is not rounded yet counts as zero.
  into.fill(0);
  const ordered = new Float32Array(rowCount * width);
  for (let start = 0; start < ordered.length; start += width) {
    for (let at = 0; at < width; at++) ordered[start + at] = weights[start + order[at]!]!;
  }
  carryErrors(ordered, rowCount, carry, (panel) => {
    const own = into.subarray(panel.row * width, (panel.row + 1) * width);
    roundInt8Panel(panel, grid, order, own);
  });
}

function roundInt8Panel(
  { row: place, values: row, errors, from, to, factor }: CarriedRow,
  { scales, isPairSafe }: Int8Grid,
  order: Uint32Array,
  into: Int8Array,
): void {
  const width = row.length;
  const scale = scales[place]!;
  for (let column = from; column < to; column++) {
    const feature = order[column]!;
    const partner = isPairSafe ? (into[feature ^ 1] ?? 0) : 0;
    const high = partner > 0 ? Math.min(LIMIT, PAIR_LIMIT - partner) : LIMIT;
    const low = partner < 0 ? Math.max(-LIMIT, -PAIR_LIMIT - partner) : -LIMIT;
    const integer = Math.min(Math.max(roundHalfToEven(row[column]! / scale), low), high);
    into[feature] = integer;
    const start = column * width;
    const error = (row[column]! - integer * scale) / factor[start + column]!;
    errors[column - from] = error;
    for (let next = column + 1; next < to; next++) {
      row[next] = row[next]! - error * factor[start + next]!;
    }
  }
}
