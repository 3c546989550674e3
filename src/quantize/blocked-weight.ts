import { derivedSource, elementCount, type Tensor, type TensorSource } from '../ir/tensor.ts';
import { chooseSymmetricScale } from '../numerics/affine.ts';
import type { WeightKernel } from '../numerics/weight-kernel.ts';
import {
  type PlacedBlock,
  quantizeWeight,
  readRowBlocks,
  scaleSource,
  transposedSource,
} from './quantized-weight.ts';

/** INT8 weights span -127..127, so that a weight and its negative are equally far. */
const LIMIT = 127;

/** An INT8 weight with one scale per block of input features, computed when it is read. */
export interface BlockedWeight {
  /** uint8 [out, in]; 128 is zero, as MatMulNBits has it. */
  readonly values: TensorSource;
  /** float32 [out, in / blockSize]. */
  readonly scales: TensorSource;
}

/**
 * Returns the INT8 form of a weight matrix whose output channels lie along `outputAxis`, with one
 * scale for `blockSize` neighbouring input features, which must divide their number:
 * `scale = absmax / 127` in float32, then `q = roundHalfToEven(w / scale) + 128`. A block of zeros has
 * scale 1. Reading throws an error that names the tensor when it holds NaN or infinity.
 */
export function quantizeBlocks(
  tensor: Tensor,
  outputAxis: number,
  blockSize: number,
  kernel: WeightKernel,
): BlockedWeight {
  return outputAxis === 0
    ? quantizeLyingBlocks(tensor, blockSize, kernel)
    : quantizeStandingBlocks(tensor, blockSize, kernel);
}

/** Weights [out, in]: every block is a row of the same bytes seen as [out * in / blockSize, blockSize]. */
function quantizeLyingBlocks(
  tensor: Tensor,
  blockSize: number,
  kernel: WeightKernel,
): BlockedWeight {
  const dims = [elementCount(tensor.dims) / blockSize, blockSize];
  const rows = quantizeWeight({ ...tensor, dims }, 0, 'float32', kernel);
  return { values: offsetBinary(rows.values), scales: scaleSource(rows, 'float32') };
}

/** Weights [in, out]: `blockSize` rows at a time, each column of them a block. */
function quantizeStandingBlocks(
  tensor: Tensor,
  blockSize: number,
  kernel: WeightKernel,
): BlockedWeight {
  const [rowCount, columnCount] = tensor.dims as readonly [number, number];
  const blocks = rowCount / blockSize;
  let pending: Promise<Float32Array> | undefined;
  const scalesByBlock = (): Promise<Float32Array> => {
    pending ??= scalesOf(tensor, blockSize, kernel);
    return pending;
  };
  const integers = derivedSource({
    rowCount: blocks,
    rowByteLength: blockSize * columnCount,
    async fill(into, firstBlock, count) {
      const scales = await scalesByBlock();
      const target = new Int8Array(into.buffer, into.byteOffset, into.length);
      const [firstRow, end] = [firstBlock * blockSize, (firstBlock + count) * blockSize];
      for await (const block of readRowBlocks(tensor, firstRow, end - firstRow, blockSize)) {
        for (const slice of rowSlices(block, blockSize)) {
          const start = (slice.firstRow - firstRow) * columnCount;
          const part = target.subarray(start, start + blockSize * columnCount);
          const first = (slice.firstRow / blockSize) * columnCount;
          const own = scales.subarray(first, first + columnCount);
          await kernel.quantizeColumns(slice, own, LIMIT, part);
        }
      }
    },
  });
  const scales = derivedSource({
    rowCount: 1,
    rowByteLength: 4 * blocks * columnCount,
    async fill(into) {
      const byBlock = await scalesByBlock();
      const view = new DataView(into.buffer, into.byteOffset, into.length);
      byBlock.forEach((scale, index) => {
        const channel = index % columnCount;
        const block = (index - channel) / columnCount;
        view.setFloat32(4 * (channel * blocks + block), scale, true);
      });
    },
  });
  const values = offsetBinary(transposedSource(integers, rowCount, columnCount));
  return { values, scales };
}

/** Returns scales [in / blockSize, out]. */
async function scalesOf(
  tensor: Tensor,
  blockSize: number,
  kernel: WeightKernel,
): Promise<Float32Array> {
  const [rowCount, columnCount] = tensor.dims as readonly [number, number];
  const scales = new Float32Array((rowCount / blockSize) * columnCount);
  for await (const block of readRowBlocks(tensor, 0, rowCount, blockSize)) {
    for (const slice of rowSlices(block, blockSize)) {
      const maxima = await kernel.absMaxColumns(slice);
      const first = (slice.firstRow / blockSize) * columnCount;
      maxima.forEach((magnitude, column) => {
        scales[first + column] = chooseSymmetricScale(magnitude, LIMIT, 'float32');
      });
    }
  }
  return scales;
}

function* rowSlices(block: PlacedBlock, rowCount: number): Generator<PlacedBlock> {
  const rowBytes = block.bytes.length / block.rowCount;
  for (let row = 0; row < block.rowCount; row += rowCount) {
    const bytes = block.bytes.subarray(row * rowBytes, (row + rowCount) * rowBytes);
    yield { ...block, bytes, rowCount, firstRow: block.firstRow + row };
  }
}

/** Returns int8 bytes as uint8 with 128 for zero. */
function offsetBinary(source: TensorSource): TensorSource {
  return {
    byteLength: source.byteLength,
    async read(into, offset) {
      await source.read(into, offset);
      for (let index = 0; index < into.length; index++) into[index] = into[index]! ^ 0x80;
    },
  };
}
