import { UnsupportedError } from '../../errors.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { type FloatRows, readFloatRows } from '../../numerics/float-rows.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';

/** Float values of a weight in memory at once. */
const BLOCK_BYTES = 32 * 2 ** 20;

/**
 * Yields the output channels of a layer's weight in order, as float32 rows of its input features. A weight
 * that lies [in, out] is read once for every 32 MiB of rows. Throws {@link UnsupportedError} naming
 * tensor and channel when a value is NaN or infinite.
 */
export async function* outputChannels({
  weight,
  inFeatures,
  outFeatures,
}: LinearLayer): AsyncGenerator<FloatRows> {
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
  for await (const block of readFloatRows(tensor, columns, firstRow, rowCount)) {
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
  for await (const { firstRow, rowCount, values } of readFloatRows(tensor, columns)) {
    for (let row = 0; row < rowCount; row++) {
      const start = row * columns + first;
      const target = firstRow + row;
      for (let index = 0; index < count; index++) {
        into[index * rows + target] = values[start + index]!;
      }
    }
  }
}
