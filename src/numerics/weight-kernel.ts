/**
 * Magnitudes of weight matrices and their quantization to INT8, by WebAssembly SIMD. The formula is
 * that of affine.ts with zero point 0, bit for bit: float32 division, ties to even, clamped to +-limit.
 *
 * Bytes that a caller read into {@link WeightKernel.input} are used where they lie. Any others are
 * copied through a tile that stays in the second-level cache, which costs about a fifth of the speed.
 */
import { growMemory, instantiateKernel, type KernelExports } from './wasm/instantiate-kernel.ts';
import { absMaxColumns, absMaxRows, pairSumColumns, pairSumRows } from './weight-magnitudes.ts';
import {
  INPUT,
  loadTiles,
  OUTPUT,
  SLACK,
  TILE_BYTES,
  TILE_COLUMNS,
  type Tile,
  type WeightBlock,
} from './weight-tiles.ts';

export type { WeightBlock } from './weight-tiles.ts';

/** Arithmetic on blocks of weights. Blocks of one matrix may be given one after the other. */
export interface WeightKernel {
  /**
   * Returns `byteLength` bytes to read a block into without a later copy. They belong to the kernel:
   * the next call of `input` takes them back.
   */
  input(byteLength: number): Uint8Array;
  /**
   * Returns the largest magnitude of each row. Throws UnsupportedError, naming tensor and row, when
   * it is NaN or infinite.
   */
  absMaxRows(block: WeightBlock): Promise<Float32Array>;
  /** Returns the largest magnitude of each column; throws like {@link WeightKernel.absMaxRows}. */
  absMaxColumns(block: WeightBlock): Promise<Float32Array>;
  /**
   * Returns the largest `|w[2k] + w[2k + 1]|` of each row, added in float32; 0 where a row has no pair. The
   * block must be finite: its magnitudes have been taken before.
   */
  pairSumRows(block: WeightBlock): Promise<Float32Array>;
  /** The same of each column, of its rows 2k and 2k + 1; `firstRow` must be even. */
  pairSumColumns(block: WeightBlock): Promise<Float32Array>;
  /**
   * Fills `into` with `clamp(roundHalfToEven(x / scales[row]), -limit, limit)`, one value per byte.
   * `limit` is at most 127. The block must be finite: its magnitudes have been taken before.
   */
  quantizeRows(
    block: WeightBlock,
    scales: Float32Array,
    limit: number,
    into: Int8Array,
  ): Promise<void>;
  /** The same with `scales[column]`. */
  quantizeColumns(
    block: WeightBlock,
    scales: Float32Array,
    limit: number,
    into: Int8Array,
  ): Promise<void>;
}

/** Returns a kernel that computes in this thread. It holds 0.5 MB besides its input. */
export function createWeightKernel(): WeightKernel {
  const wasm = instantiateKernel();
  growMemory(wasm, INPUT);
  return {
    input: (byteLength) => {
      growMemory(wasm, INPUT + byteLength + SLACK);
      return new Uint8Array(wasm.memory.buffer, INPUT, byteLength);
    },
    absMaxRows: async (block) => absMaxRows(wasm, block),
    absMaxColumns: async (block) => absMaxColumns(wasm, block),
    pairSumRows: async (block) => pairSumRows(wasm, block),
    pairSumColumns: async (block) => pairSumColumns(wasm, block),
    quantizeRows: async (block, scales, limit, into) => {
      checkQuantize(block, scales.length, block.rowCount, limit, into);
      const run = block.dataType === 'float16' ? wasm.quantize_row_f16 : wasm.quantize_row_f32;
      quantizeTiles(wasm, block, into, (from, to, row, tile) => {
        run(from, to, tile.columnCount, scales[row]!, limit);
      });
    },
    quantizeColumns: async (block, scales, limit, into) => {
      checkQuantize(block, scales.length, block.columnCount, limit, into);
      const run =
        block.dataType === 'float16' ? wasm.quantize_columns_f16 : wasm.quantize_columns_f32;
      const tileScales = new Float32Array(wasm.memory.buffer, 0, TILE_COLUMNS);
      quantizeTiles(wasm, block, into, (from, to, row, tile) => {
        if (row === tile.firstRow) {
          const end = tile.firstColumn + tile.columnCount;
          tileScales.set(scales.subarray(tile.firstColumn, end));
        }
        run(from, to, tile.columnCount, 0, limit);
      });
    },
  };
}

/**
 * Folds the maxima of a further block of the same matrix into `maxima`: `maxima[i] = max(maxima[i],
 * block[i])`, for callers that take column maxima block by block.
 */
export function foldMaxima(maxima: Float32Array, block: Float32Array): void {
  for (let index = 0; index < maxima.length; index++) {
    if (block[index]! > maxima[index]!) maxima[index] = block[index]!;
  }
}

function quantizeTiles(
  wasm: KernelExports,
  block: WeightBlock,
  into: Int8Array,
  quantizeRow: (from: number, to: number, row: number, tile: Tile) => void,
): void {
  const output = new Int8Array(wasm.memory.buffer, OUTPUT, TILE_BYTES / 2 + SLACK);
  for (const tile of loadTiles(wasm, block)) {
    const { firstRow, rowCount, firstColumn, columnCount } = tile;
    for (let row = 0; row < rowCount; row++) {
      const from = tile.position + row * tile.stride;
      quantizeRow(from, OUTPUT + row * columnCount, firstRow + row, tile);
    }
    if (columnCount === block.columnCount) {
      into.set(output.subarray(0, rowCount * columnCount), firstRow * columnCount);
      continue;
    }
    for (let row = 0; row < rowCount; row++) {
      const target = (firstRow + row) * block.columnCount + firstColumn;
      into.set(output.subarray(row * columnCount, (row + 1) * columnCount), target);
    }
  }
}

function checkQuantize(
  block: WeightBlock,
  scaleCount: number,
  channelCount: number,
  limit: number,
  into: Int8Array,
): void {
  const elements = block.rowCount * block.columnCount;
  if (scaleCount !== channelCount || into.length !== elements || !(limit >= 1 && limit <= 127)) {
    throw new RangeError(
      `${block.name}: quantize needs a scale per channel, room for every element and a limit of ` +
        `1..127 (got ${scaleCount} scales for ${channelCount}, ${into.length} bytes for ` +
        `${elements}, limit ${limit})`,
    );
  }
}
