/**
 * Weight matrices cut in tiles that fit the memory of the WebAssembly kernel.
 */
import type { KernelExports } from './wasm/instantiate-kernel.ts';

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

/** A rectangle of the block that lies in the module's memory. */
export interface Tile {
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
export const TILE_COLUMNS = 16384;
/** Bytes of a tile at most. */
export const TILE_BYTES = 2 ** 18;
/** Loops may pass the end of a row by 15 values. */
export const SLACK = 64;
const TILE = TILE_COLUMNS * 4 + SLACK;
/** Where quantized tiles go, in bytes. */
export const OUTPUT = TILE + TILE_BYTES + SLACK;
/** Where blocks that a caller read into the kernel's own memory lie, in bytes. */
export const INPUT = OUTPUT + TILE_BYTES / 2 + SLACK;

/**
 * Walks over the block in tiles of some multiple of `multiple` rows (4 at most), but for the last; each
 * is valid until the next.
 */
export function* loadTiles(wasm: KernelExports, block: WeightBlock, multiple = 1): Generator<Tile> {
  const { rowCount, columnCount, bytes } = block;
  checkSize(block);
  const memory = new Uint8Array(wasm.memory.buffer);
  const inPlace = bytes.buffer === memory.buffer;
  const width = bytesPerElement(block.dataType);
  for (let firstColumn = 0; firstColumn < columnCount; firstColumn += TILE_COLUMNS) {
    const columns = Math.min(TILE_COLUMNS, columnCount - firstColumn);
    const tileRows = Math.floor(TILE_BYTES / (columns * width * multiple)) * multiple;
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

function bytesPerElement(dataType: WeightBlock['dataType']): number {
  return dataType === 'float16' ? 2 : 4;
}
