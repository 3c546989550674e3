import { growMemory, instantiateKernel, type KernelExports } from './wasm/instantiate-kernel.ts';
import type { WeightBlock } from './weight-kernel.ts';

/** Columns of a tile at most: their factors fill the start of the memory. */
const TILE_COLUMNS = 16384;
const TILE_BYTES = 2 ** 18;
/** Loops may pass the end of a row by seven values. */
const SLACK = 64;
const TILE = TILE_COLUMNS * 4 + SLACK;
const OUTPUT = TILE + TILE_BYTES + SLACK;

let instance: KernelExports | undefined;

/** Factors of a matrix by row and by column, for all of its rows; absent ones are 1. */
export interface Factors {
  readonly rows?: Float32Array | undefined;
  readonly columns?: Float32Array | undefined;
}

/**
 * Multiplies rows of a matrix, in place: `x[r, c] * rows[r] * columns[c]`, both products rounded to
 * float32 and the result to the type of the block, ties to even (WebAssembly SIMD). With `widened`,
 * float32 bytes as long as the block has elements, a float16 block stays as it is and the products
 * go there without the last rounding.
 */
export function scaleRows(block: WeightBlock, factors: Factors, widened?: Uint8Array): void {
  instance ??= instantiateKernel();
  const wasm = instance;
  growMemory(wasm, OUTPUT + 2 * TILE_BYTES + SLACK);
  const memory = new Uint8Array(wasm.memory.buffer);
  const ofColumns = new Float32Array(wasm.memory.buffer, 0, TILE_COLUMNS);
  const { dataType, bytes, columnCount, rowCount, firstRow = 0 } = block;
  const width = dataType === 'float16' ? 2 : 4;
  const into = widened ?? bytes;
  const growth = widened === undefined ? 1 : 4 / width;
  const ofHalves = growth === 1 ? wasm.scale_row_f16 : wasm.scale_row_f16_f32;
  const run = width === 2 ? ofHalves : wasm.scale_row_f32;
  const { rows, columns } = factors;
  for (let firstColumn = 0; firstColumn < columnCount; firstColumn += TILE_COLUMNS) {
    const count = Math.min(TILE_COLUMNS, columnCount - firstColumn);
    if (columns === undefined) ofColumns.fill(1);
    else ofColumns.set(columns.subarray(firstColumn, firstColumn + count));
    // A row that is whole lies right behind the one before it.
    const rowsAtOnce = count === columnCount ? Math.floor(TILE_BYTES / (count * width)) : 1;
    for (let row = 0; row < rowCount; row += rowsAtOnce) {
      const taken = Math.min(rowsAtOnce, rowCount - row);
      const start = (row * columnCount + firstColumn) * width;
      const length = taken * count * width;
      memory.set(bytes.subarray(start, start + length), TILE);
      for (let index = 0; index < taken; index++) {
        const place = index * count * width;
        const factor = rows === undefined ? 1 : rows[firstRow + row + index]!;
        run(TILE + place, OUTPUT + place * growth, count, 0, factor);
      }
      into.set(memory.subarray(OUTPUT, OUTPUT + length * growth), start * growth);
    }
  }
}
