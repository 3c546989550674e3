import { UnsupportedError } from '../../errors.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { bfloat16ArrayToFloat32 } from '../../numerics/bfloat16.ts';
import { float16ArrayToFloat32 } from '../../numerics/float16.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';

/** Float values of a weight in memory at once. */
const BLOCK_BYTES = 32 * 2 ** 20;
/** Bytes read from the weight at once. */
const READ_BYTES = 8 * 2 ** 20;

/** Whole output channels of a weight: `rowCount` x K, whichever way the weight lies. */
export interface OutputChannels {
  readonly firstRow: number;
  readonly rowCount: number;
  /** Valid until the next block. */
  readonly values: Float32Array;
}

/**
 * Yields the output channels of a layer's weight in order, as float32 rows of its input features. A weight
 * that lies [in, out] is read once for every 32 MiB of rows. Throws {@link UnsupportedError} naming
 * tensor and channel when a value is NaN or infinite.
 */
export async function* outputChannels({
  weight,
  inFeatures,
  outFeatures,
}: LinearLayer): AsyncGenerator<OutputChannels> {
  const { tensor, outputAxis } = weight;
  const rowsAtOnce = Math.max(1, Math.floor(BLOCK_BYTES / (4 * inFeatures)));
  const buffer = new Float32Array(Math.min(rowsAtOnce, outFeatures) * inFeatures);
  for (let firstRow = 0; firstRow < outFeatures; firstRow += rowsAtOnce) {
    const rowCount = Math.min(rowsAtOnce, outFeatures - firstRow);
    const values = buffer.subarray(0, rowCount * inFeatures);
    if (outputAxis === 0) await readRows(tensor, firstRow, rowCount, values);
    else await readColumns(tensor, firstRow, rowCount, values);
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new UnsupportedError(
        `${tensor.name}: the weight holds ${values[bad]} in output channel ` +
          `${firstRow + Math.floor(bad / inFeatures)} (expected finite values). ` +
          'Leave this layer in float with a recipe rule, or repair the export.',
      );
    }
    yield { firstRow, rowCount, values };
  }
}

async function readRows(
  tensor: Tensor,
  firstRow: number,
  rowCount: number,
  into: Float32Array,
): Promise<void> {
  const columns = tensor.dims[1]!;
  for await (const block of widenedRows(tensor, firstRow, rowCount)) {
    into.set(block.values, (block.firstRow - firstRow) * columns);
  }
}

/** Gathers columns `[first, first + count)` of a matrix as rows. */
async function readColumns(
  tensor: Tensor,
  first: number,
  count: number,
  into: Float32Array,
): Promise<void> {
  const [rows, columns] = tensor.dims as readonly [number, number];
  for await (const { firstRow, rowCount, values } of widenedRows(tensor, 0, rows)) {
    for (let row = 0; row < rowCount; row++) {
      const start = row * columns + first;
      const target = firstRow + row;
      for (let index = 0; index < count; index++) {
        into[index * rows + target] = values[start + index]!;
      }
    }
  }
}

async function* widenedRows(
  tensor: Tensor,
  firstRow: number,
  count: number,
): AsyncGenerator<OutputChannels> {
  const columns = tensor.dims[1]!;
  const width = tensor.dataType === 'float32' ? 4 : 2;
  const rowsAtOnce = Math.max(1, Math.min(count, Math.floor(READ_BYTES / (columns * width))));
  const bytes = new Uint8Array(rowsAtOnce * columns * width);
  for (let row = firstRow; row < firstRow + count; row += rowsAtOnce) {
    const rowCount = Math.min(rowsAtOnce, firstRow + count - row);
    const length = rowCount * columns;
    await tensor.source.read(bytes.subarray(0, length * width), row * columns * width);
    yield { firstRow: row, rowCount, values: widen(tensor, bytes.buffer, length) };
  }
}

function widen({ dataType }: Tensor, buffer: ArrayBuffer, length: number): Float32Array {
  if (dataType === 'float32') return new Float32Array(buffer, 0, length);
  const halves = new Uint16Array(buffer, 0, length);
  return dataType === 'bfloat16' ? bfloat16ArrayToFloat32(halves) : float16ArrayToFloat32(halves);
}
