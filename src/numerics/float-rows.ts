import { UnsupportedError } from '../errors.ts';
import { elementCount, type Tensor } from '../ir/tensor.ts';
import { bfloat16ArrayToFloat32 } from './bfloat16.ts';
import { float16ArrayToFloat32 } from './float16.ts';

/** Bytes read from a weight at once. */
const READ_BYTES = 8 * 2 ** 20;

/** Some whole rows of a weight as float32. */
export interface FloatRows {
  readonly firstRow: number;
  readonly rowCount: number;
  /** `rowCount` x columns, row-major; valid until the next block. */
  readonly values: Float32Array;
}

const WIDENERS: Readonly<
  Record<string, { width: number; widen(bytes: Uint8Array): Float32Array }>
> = {
  float32: { width: 4, widen: (bytes) => new Float32Array(bytes.buffer, 0, bytes.length / 4) },
  float16: {
    width: 2,
    widen: (bytes) => float16ArrayToFloat32(new Uint16Array(bytes.buffer, 0, bytes.length / 2)),
  },
  bfloat16: {
    width: 2,
    widen: (bytes) => bfloat16ArrayToFloat32(new Uint16Array(bytes.buffer, 0, bytes.length / 2)),
  },
  int8: {
    width: 1,
    widen: (bytes) => Float32Array.from(new Int8Array(bytes.buffer, 0, bytes.length)),
  },
  uint8: { width: 1, widen: (bytes) => Float32Array.from(bytes) },
};

/**
 * Yields the rows `[firstRow, firstRow + count)` of a tensor seen as a matrix of `columns`, as float32, at most 8 MiB
 * of the file at a time. Integers of 8 bits come as they are stored. Throws {@link UnsupportedError} for
 * other element types.
 */
export async function* readFloatRows(
  tensor: Tensor,
  columns: number,
  firstRow = 0,
  count: number = elementCount(tensor.dims) / columns - firstRow,
): AsyncGenerator<FloatRows> {
  const widener = WIDENERS[tensor.dataType];
  if (widener === undefined) {
    throw new UnsupportedError(
      `${tensor.name}: weights of ${tensor.dataType} cannot be read as numbers (expected ${Object.keys(WIDENERS).join(', ')}).`,
    );
  }
  const rowBytes = columns * widener.width;
  const rowsAtOnce = Math.max(1, Math.min(count, Math.floor(READ_BYTES / rowBytes)));
  const bytes = new Uint8Array(rowsAtOnce * rowBytes);
  for (let row = firstRow; row < firstRow + count; row += rowsAtOnce) {
    const rowCount = Math.min(rowsAtOnce, firstRow + count - row);
    const block = bytes.subarray(0, rowCount * rowBytes);
    await tensor.source.read(block, row * rowBytes);
    yield { firstRow: row, rowCount, values: widener.widen(block) };
  }
}
