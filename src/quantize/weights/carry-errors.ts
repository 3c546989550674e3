import { createRowUpdate, PANEL, type RowUpdate } from '../../numerics/row-update.ts';
import type { GptqCarry } from './gptq.ts';

/** Rows that are carried together: the factor's rows are read once for all of them. */
const TILE_ROWS = 128;

/** The columns `[from, to)` of a row that are to be rounded next. */
export interface CarriedRow {
  /** Place of the row among all. */
  readonly row: number;
  /** All columns of the row, with the errors of those before `from` carried to them. */
  readonly values: Float64Array;
  /** Takes the error of each column over its pivot. */
  readonly errors: Float64Array;
  readonly from: number;
  readonly to: number;
  readonly factor: Float64Array;
}

/**
 * Walks over float32 rows `[rowCount, width]` panel by panel: `roundPanel` rounds columns of a row, the errors that it
 * leaves are carried to the columns on the right. In float64. Panels begin with a multiple of 32.
 */
export function carryErrors(
  weights: Float32Array,
  rowCount: number,
  { factor, width }: GptqCarry,
  roundPanel: (panel: CarriedRow) => void,
): void {
  const tileRows = Math.min(TILE_ROWS, rowCount);
  const update = createRowUpdate(tileRows, width);
  const { rows, errors } = update;
  for (let firstRow = 0; firstRow < rowCount; firstRow += tileRows) {
    const count = Math.min(tileRows, rowCount - firstRow);
    rows.set(weights.subarray(firstRow * width, (firstRow + count) * width));
    for (let from = 0; from < width; from += PANEL) {
      const to = Math.min(from + PANEL, width);
      for (let row = 0; row < count; row++) {
        const values = rows.subarray(row * width, (row + 1) * width);
        const own = errors.subarray(row * PANEL, (row + 1) * PANEL);
        roundPanel({ row: firstRow + row, values, errors: own, from, to, factor });
      }
      if (to < width) carryPanel(update, count, factor, to);
    }
  }
}

/** Carries the errors of the panel that ends at `to`, which is whole since others follow. */
function carryPanel(update: RowUpdate, count: number, factor: Float64Array, to: number): void {
  const { width } = update;
  for (let column = 0; column < PANEL; column++) {
    const start = (to - PANEL + column) * width;
    update.factor.set(factor.subarray(start + to, start + width), column * width + to);
  }
  for (let row = 0; row < count; row++) update.subtract(row, to, width);
}
