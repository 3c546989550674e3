/**
 * Magnitudes of weight matrices and their quantization to INT8, by WebAssembly SIMD. The formula is
 * that of affine.ts with zero point 0, bit for bit: float32 division, ties to even, clamped to +-limit.
 *
 * Bytes that a caller read into {@link WeightKernel.input} are used where they lie. Any others are
 * copied through a tile that stays in the second-level cache, which costs about a fifth of the speed.
 */
import { UnsupportedError } from '../errors.ts';
import { float16ArrayToFloat32 } from './float16.ts';
import { growMemory, instantiateKernel, type KernelExports } from './wasm/instantiate-kernel.ts';

/** Whole rows of a weight matrix, as they lie in a file: little-endian, row-major, dense. */
export interface WeightBlock {
  /** Name of the tensor, for errors. */
  readonly name: string;
  readonly dataType: 'float16' | 'float32';
  readonly rowCount: number;
  readonly columnCount: number;
  /** `rowCount * columnCount` elements. */
  readonly bytes: Uint8Array;
  /** Index of the first row in the whole matrix, for errors; 0 when absent. */
  readonly firstRow?: number;
}

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

/** A rectangle of the block that lies in the module's memory. */
interface Tile {
  readonly firstRow: number;
  readonly rowCount: number;
  readonly firstColumn: number;
  readonly columnCount: number;
  /** Where its first element is, in bytes. */
  readonly position: number;
  /** Bytes from one row to the next. */
  readonly stride: number;
}

/** Columns of a tile at most: their scales or maxima fill the start of the memory. */
const TILE_COLUMNS = 16384;
const TILE_BYTES = 2 ** 18;
/** Loops may pass the end of a row by 15 values. */
const SLACK = 64;
const TILE = TILE_COLUMNS * 4 + SLACK;
const OUTPUT = TILE + TILE_BYTES + SLACK;
const INPUT = OUTPUT + TILE_BYTES / 2 + SLACK;

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

function absMaxRows(wasm: KernelExports, block: WeightBlock): Float32Array {
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

function absMaxColumns(wasm: KernelExports, block: WeightBlock): Float32Array {
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

/** Walks over the block in tiles; each is valid until the next. */
function* loadTiles(wasm: KernelExports, block: WeightBlock): Generator<Tile> {
  const { rowCount, columnCount, bytes } = block;
  checkSize(block);
  const memory = new Uint8Array(wasm.memory.buffer);
  const inPlace = bytes.buffer === memory.buffer;
  const width = bytesPerElement(block.dataType);
  for (let firstColumn = 0; firstColumn < columnCount; firstColumn += TILE_COLUMNS) {
    const columns = Math.min(TILE_COLUMNS, columnCount - firstColumn);
    const tileRows = Math.floor(TILE_BYTES / (columns * width));
    for (let firstRow = 0; firstRow < rowCount; firstRow += tileRows) {
      const rows = Math.min(tileRows, rowCount - firstRow);
      const tile = { firstRow, rowCount: rows, firstColumn, columnCount: columns };
      const start = (firstRow * columnCount + firstColumn) * width;
      if (inPlace) {
        yield { ...tile, position: bytes.byteOffset + start, stride: columnCount * width };
        continue;
      }
      const copies = columns === columnCount ? 1 : rows;
      const length = (rows * columns * width) / copies;
      for (let copy = 0; copy < copies; copy++) {
        const from = start + copy * columnCount * width;
        memory.set(bytes.subarray(from, from + length), TILE + copy * length);
      }
      yield { ...tile, position: TILE, stride: columns * width };
    }
  }
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

function checkSize(block: WeightBlock): void {
  const { rowCount, columnCount, bytes } = block;
  const expected = rowCount * columnCount * bytesPerElement(block.dataType);
  if (bytes.length !== expected) {
    throw new RangeError(
      `${block.name}: block of ${rowCount}x${columnCount} ${block.dataType} has the wrong length ` +
        `(got ${bytes.length} bytes, expected ${expected})`,
    );
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

function bytesPerElement(dataType: WeightBlock['dataType']): number {
  return dataType === 'float16' ? 2 : 4;
}
