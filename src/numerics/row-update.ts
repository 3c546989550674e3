import { growMemory, instantiateKernel } from './wasm/instantiate-kernel.ts';

/** Rows of a factor that are taken at once. */
export const PANEL = 32;

const BYTES = Float64Array.BYTES_PER_ELEMENT;
const GROUP = 4;

/** Rows of float64 from which products are taken by WebAssembly SIMD, in the memory of the kernel. */
export interface RowUpdate {
  readonly width: number;
  /** What is taken from, `[rowCount, width]`. */
  readonly rows: Float64Array;
  /** How much of each factor row is taken from each row, `[rowCount, PANEL]`. */
  readonly errors: Float64Array;
  /** What is taken, `[PANEL, width]`. */
  readonly factor: Float64Array;
  /**
   * `rows[row, from:to] -= errors[row] * factor[:, from:to]`, four factor rows after the other: their products are summed in
   * pairs, then taken. All panels are whole: fill what is not there with zeros.
   */
  subtract(row: number, from: number, to: number): void;
}

/** Returns room for `rowCount` rows of `width` and a panel of a factor, all zero. */
export function createRowUpdate(rowCount: number, width: number): RowUpdate {
  const wasm = instantiateKernel();
  const sizes = [rowCount * width, PANEL * width, rowCount * PANEL] as const;
  growMemory(wasm, BYTES * sizes.reduce((sum, size) => sum + size, 0));
  const { buffer } = wasm.memory;
  const factorAt = BYTES * sizes[0];
  const errorsAt = factorAt + BYTES * sizes[1];
  return {
    width,
    rows: new Float64Array(buffer, 0, sizes[0]),
    factor: new Float64Array(buffer, factorAt, sizes[1]),
    errors: new Float64Array(buffer, errorsAt, sizes[2]),
    subtract(row, from, to) {
      wasm.subtract_rows_f64(
        BYTES * (row * width + from),
        to - from,
        factorAt + BYTES * from,
        BYTES * width,
        errorsAt + BYTES * row * PANEL,
        PANEL / GROUP,
      );
    },
  };
}
