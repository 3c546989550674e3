/** Magnitudes of the channels of a weight matrix, by WebAssembly SIMD. */
import { UnsupportedError } from '../errors.ts';
import { float16ArrayToFloat32 } from './float16.ts';
import type { KernelExports } from './wasm/instantiate-kernel.ts';
import { loadTiles, TILE_COLUMNS, type WeightBlock } from './weight-tiles.ts';

/** As {@link WeightKernel.absMaxRows}. */
export function absMaxRows(wasm: KernelExports, block: WeightBlock): Float32Array {
  const run = block.dataType === 'float16' ? wasm.abs_max_f16 : wasm.abs_max_f32;
  const bits = new Uint32Array(block.rowCount);
  for (const tile of loadTiles(wasm, block)) {
    for (let row = 0; row < tile.rowCount; row++) {
      const index = tile.firstRow + row;
      bits[index] = run(tile.position + row * tile.stride, tile.columnCount, bits[index]!);
    }
  }
  return finiteMaxima(block, bits, 'row', block.firstRow ?? 0);
}

/** As {@link WeightKernel.absMaxColumns}. */
export function absMaxColumns(wasm: KernelExports, block: WeightBlock): Float32Array {
  const isHalf = block.dataType === 'float16';
  const run = isHalf ? wasm.fold_abs_max_f16 : wasm.fold_abs_max_f32;
  const maxima = isHalf
    ? new Uint16Array(wasm.memory.buffer, 0, TILE_COLUMNS)
    : new Uint32Array(wasm.memory.buffer, 0, TILE_COLUMNS);
  const bits = new Uint32Array(block.columnCount);
  for (const tile of loadTiles(wasm, block)) {
    const { firstColumn, columnCount } = tile;
    maxima.set(bits.subarray(firstColumn, firstColumn + columnCount));
    for (let row = 0; row < tile.rowCount; row++) {
      run(tile.position + row * tile.stride, columnCount, 0);
    }
    bits.set(maxima.subarray(0, columnCount), firstColumn);
  }
  return finiteMaxima(block, bits, 'column', 0);
}

/** Returns the largest `|w[2k] + w[2k + 1]|` of each row; 0 where a row has no pair. The block is finite. */
export function pairSumRows(wasm: KernelExports, block: WeightBlock): Float32Array {
  const run = block.dataType === 'float16' ? wasm.pair_sum_f16 : wasm.pair_sum_f32;
  const sums = new Float32Array(block.rowCount);
  for (const tile of loadTiles(wasm, block)) {
    for (let row = 0; row < tile.rowCount; row++) {
      const index = tile.firstRow + row;
      sums[index] = run(tile.position + row * tile.stride, tile.columnCount, sums[index]!);
    }
  }
  return sums;
}

/** The same of each column, of its rows 2k and 2k + 1. Throws RangeError for a block that starts inside a pair. */
export function pairSumColumns(wasm: KernelExports, block: WeightBlock): Float32Array {
  const { firstRow = 0, name } = block;
  if (firstRow % 2 !== 0) {
    throw new RangeError(`${name}: a block starts inside a pair of rows (got row ${firstRow})`);
  }
  const fold = block.dataType === 'float16' ? wasm.fold_pair_sum_f16 : wasm.fold_pair_sum_f32;
  const tileSums = new Float32Array(wasm.memory.buffer, 0, TILE_COLUMNS);
  const sums = new Float32Array(block.columnCount);
  for (const tile of loadTiles(wasm, block, 2)) {
    const { firstColumn, columnCount, position, stride } = tile;
    tileSums.set(sums.subarray(firstColumn, firstColumn + columnCount));
    for (let row = 0; row + 1 < tile.rowCount; row += 2) {
      const from = position + row * stride;
      fold(from, from + stride, columnCount, 0);
    }
    sums.set(tileSums.subarray(0, columnCount), firstColumn);
  }
  return sums;
}

/** Turns the bits of magnitudes to numbers. */
function finiteMaxima(
  block: WeightBlock,
  bits: Uint32Array,
  axis: 'row' | 'column',
  firstIndex: number,
): Float32Array {
  const isHalf = block.dataType === 'float16';
  const infinity = isHalf ? 0x7c00 : 0x7f800000;
  // Plain loops: there may be a hundred thousand columns, for every few rows.
  let largest = 0;
  for (let index = 0; index < bits.length; index++) {
    if (bits[index]! > largest) largest = bits[index]!;
  }
  if (largest >= infinity) {
    const bad = bits.findIndex((magnitude) => magnitude >= infinity);
    const kind = bits[bad] === infinity ? 'infinity' : 'NaN';
    throw new UnsupportedError(
      `${block.name}: the weight holds ${kind} in ${axis} ${firstIndex + bad} (expected finite ` +
        'values). Leave this layer in float with a recipe rule, or repair the export.',
    );
  }
  return isHalf ? float16ArrayToFloat32(new Uint16Array(bits)) : new Float32Array(bits.buffer);
}
