import { derivedSource, elementCount, type Tensor, type TensorSource } from '../../ir/tensor.ts';
import { chooseSymmetricScale } from '../../numerics/affine.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import {
  absMax,
  offsetBinary,
  type PlacedBlock,
  readRowBlocks,
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
 * scale for `blockSize` neighbouring input features, which must divide their number.
 */
export type QuantizeBlocks = (
  tensor: Tensor,
  outputAxis: number,
  blockSize: number,
) => BlockedWeight;

/** Scales by block as the weight lies; computed when they are asked for. */
type Scales = () => Promise<Float32Array>;

/**
 * Returns the maker of blocked weights: `scale = absmax / 127` in float32, then
 * `q = roundHalfToEven(w / scale) + 128`. A block of zeros has scale 1. Scales take an eighth of the bytes
 * of the integers, so those of one weight alone are kept. Reading throws an error that names the tensor
 * when it holds NaN or infinity.
 */
export function createBlockQuantizer(kernel: WeightKernel): QuantizeBlocks {
  let last: { readonly owner: object; readonly scales: Promise<Float32Array> } | undefined;
  const keepLast = (compute: Scales): Scales => {
    const owner = {};
    return () => {
      if (last?.owner !== owner) last = { owner, scales: compute() };
      return last.scales;
    };
  };
  return (tensor, outputAxis, blockSize) =>
    outputAxis === 0
      ? quantizeLyingBlocks(tensor, blockSize, kernel, keepLast)
      : quantizeStandingBlocks(tensor, blockSize, kernel, keepLast);
}

/** Weights [out, in]: every block is a row of the same bytes seen as [out * in / blockSize, blockSize]. */
function quantizeLyingBlocks(
  tensor: Tensor,
  blockSize: number,
  kernel: WeightKernel,
  keepLast: (compute: Scales) => Scales,
): BlockedWeight {
  const count = elementCount(tensor.dims) / blockSize;
  const rows = { ...tensor, dims: [count, blockSize] };
  const scales = keepLast(async () => (await absMax(rows, 0, kernel)).map(scaleOf));
  const integers = derivedSource({
    rowCount: count,
    rowByteLength: blockSize,
    async fill(into, firstRow, rowCount) {
      const ofBlocks = await scales();
      const target = new Int8Array(into.buffer, into.byteOffset, into.length);
      for await (const block of readRowBlocks(rows, firstRow, rowCount)) {
        const end = block.firstRow + block.rowCount;
        const start = (block.firstRow - firstRow) * blockSize;
        const part = target.subarray(start, start + block.rowCount * blockSize);
        await kernel.quantizeRows(block, ofBlocks.subarray(block.firstRow, end), LIMIT, part);
      }
    },
  });
  return { values: offsetBinary(integers), scales: floatSource(count, scales, (index) => index) };
}

/** Weights [in, out]: `blockSize` rows at a time, each column of them a block. */
function quantizeStandingBlocks(
  tensor: Tensor,
  blockSize: number,
  kernel: WeightKernel,
  keepLast: (compute: Scales) => Scales,
): BlockedWeight {
  const [rowCount, columnCount] = tensor.dims as readonly [number, number];
  const blocks = rowCount / blockSize;
  const scales = keepLast(() => standingScales(tensor, blockSize, kernel));
  const integers = derivedSource({
    rowCount: blocks,
    rowByteLength: blockSize * columnCount,
    async fill(into, firstBlock, count) {
      const ofBlocks = await scales();
      const target = new Int8Array(into.buffer, into.byteOffset, into.length);
      const [firstRow, end] = [firstBlock * blockSize, (firstBlock + count) * blockSize];
      for await (const block of readRowBlocks(tensor, firstRow, end - firstRow, blockSize)) {
        for (const slice of rowSlices(block, blockSize)) {
          const start = (slice.firstRow - firstRow) * columnCount;
          const part = target.subarray(start, start + blockSize * columnCount);
          const first = (slice.firstRow / blockSize) * columnCount;
          const own = ofBlocks.subarray(first, first + columnCount);
          await kernel.quantizeColumns(slice, own, LIMIT, part);
        }
      }
    },
  });
  const placeOf = (index: number): number => {
    const channel = index % columnCount;
    return channel * blocks + (index - channel) / columnCount;
  };
  return {
    values: offsetBinary(transposedSource(integers, rowCount, columnCount)),
    scales: floatSource(blocks * columnCount, scales, placeOf),
  };
}

function scaleOf(magnitude: number): number {
  return chooseSymmetricScale(magnitude, LIMIT, 'float32');
}

/** Returns float32 bytes with value `index` at `placeOf(index)`. */
function floatSource(
  count: number,
  values: Scales,
  placeOf: (index: number) => number,
): TensorSource {
  return derivedSource({
    rowCount: 1,
    rowByteLength: 4 * count,
    async fill(into) {
      const view = new DataView(into.buffer, into.byteOffset, into.length);
      (await values()).forEach((value, index) => {
        view.setFloat32(4 * placeOf(index), value, true);
      });
    },
  });
}

/** Returns scales [in / blockSize, out]. */
async function standingScales(
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
        scales[first + column] = scaleOf(magnitude);
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
