import { derivedSource, type Tensor, type TensorSource } from '../../ir/tensor.ts';
import {
  choosePairSafeScale,
  chooseSymmetricScale,
  type ScaleType,
} from '../../numerics/affine.ts';
import { bfloat16ArrayToFloat32 } from '../../numerics/bfloat16.ts';
import { float32ToFloat16 } from '../../numerics/float16.ts';
import { foldMaxima, type WeightBlock, type WeightKernel } from '../../numerics/weight-kernel.ts';

/** Bytes of a weight that are in memory at once beside what the reader asks for. */
const BLOCK_BYTES = 8 * 1024 * 1024;
/** INT8 weights span -127..127, so that a weight and its negative are equally far. */
const LIMIT = 127;

/** An INT8 weight whose bytes and scales are computed from the float weight when they are read. */
export interface QuantizedWeight {
  /** int8, in the layout of the float weight. */
  readonly values: TensorSource;
  /** One scale per output channel, float32 values exact in `scaleType`; computed once. */
  readonly scales: () => Promise<Float32Array>;
  readonly channels: number;
}

/** How the scales of an INT8 weight are chosen. */
export interface WeightGrid {
  /** Type to which scales are rounded; pair-safe ones are float32. */
  readonly scaleType: ScaleType;
  /** Widens scales so that no CPU saturates: {@link choosePairSafeScale}. */
  readonly isPairSafe: boolean;
}

/**
 * Returns the INT8 form of a weight matrix [rows, columns] with one scale per index of `axis`
 * (0 or 1): `scale = absmax / 127` rounded to the grid's type, or the pair-safe scale over neighbours
 * along the other axis; then `q = roundHalfToEven(w / scale)`. A channel of zeros has scale 1.
 * Reading throws an error that names the tensor when it holds NaN or infinity.
 */
export function quantizeWeight(
  tensor: Tensor,
  axis: number,
  grid: WeightGrid,
  kernel: WeightKernel,
): QuantizedWeight {
  const [rowCount, columnCount] = tensor.dims as readonly [number, number];
  let pending: Promise<Float32Array> | undefined;
  const scales = (): Promise<Float32Array> => {
    pending ??= chooseScales(tensor, axis, grid, kernel);
    return pending;
  };
  const key = tensor.source.key;
  const values = derivedSource({
    rowCount,
    rowByteLength: columnCount,
    ...(key !== undefined && { key: `${key}|int8|axis ${axis}|${gridKey(grid)}` }),
    async fill(into, firstRow, count) {
      const channelScales = await scales();
      const target = new Int8Array(into.buffer, into.byteOffset, into.length);
      for await (const block of readRowBlocks(tensor, firstRow, count)) {
        const start = (block.firstRow - firstRow) * columnCount;
        const part = target.subarray(start, start + block.rowCount * columnCount);
        if (axis === 1) await kernel.quantizeColumns(block, channelScales, LIMIT, part);
        else {
          const end = block.firstRow + block.rowCount;
          const rowScales = channelScales.subarray(block.firstRow, end);
          await kernel.quantizeRows(block, rowScales, LIMIT, part);
        }
      }
    },
  });
  return { values, scales, channels: tensor.dims[axis]! };
}

/** Returns the scales as tensor bytes; `key` as in {@link TensorSource}. */
export function scaleSource(weight: QuantizedWeight, storedAs: ScaleType): TensorSource {
  const width = storedAs === 'float16' ? 2 : 4;
  return derivedSource({
    rowCount: 1,
    rowByteLength: weight.channels * width,
    async fill(into) {
      const scales = await weight.scales();
      const view = new DataView(into.buffer, into.byteOffset, into.length);
      scales.forEach((scale, index) => {
        if (storedAs === 'float16') view.setUint16(index * 2, float32ToFloat16(scale), true);
        else view.setFloat32(index * 4, scale, true);
      });
    },
  });
}

/** Returns int8 bytes as uint8 about 128: the integers of the same weights with zero point 128. */
export function offsetBinary(source: TensorSource): TensorSource {
  return {
    byteLength: source.byteLength,
    ...(source.key !== undefined && { key: `${source.key}|offset` }),
    async read(into, offset) {
      await source.read(into, offset);
      for (let index = 0; index < into.length; index++) into[index] = into[index]! ^ 0x80;
    },
  };
}

/**
 * Returns the transpose of a matrix of bytes [rows, columns], made when it is read. A block of the
 * result needs a pass over the whole matrix, so reading costs one pass per block asked for.
 */
export function transposedSource(
  source: TensorSource,
  rows: number,
  columns: number,
): TensorSource {
  return derivedSource({
    rowCount: columns,
    rowByteLength: rows,
    ...(source.key !== undefined && { key: `${source.key}|transposed` }),
    async fill(into, firstColumn, count) {
      const rowsAtOnce = Math.max(1, Math.min(rows, Math.floor(BLOCK_BYTES / columns)));
      const block = new Uint8Array(rowsAtOnce * columns);
      for (let row = 0; row < rows; row += rowsAtOnce) {
        const taken = Math.min(rowsAtOnce, rows - row);
        await source.read(block.subarray(0, taken * columns), row * columns);
        for (let column = 0; column < count; column++) {
          const target = column * rows + row;
          const first = firstColumn + column;
          for (let index = 0; index < taken; index++) {
            into[target + index] = block[index * columns + first]!;
          }
        }
      }
    },
  });
}

/** Names a grid: weights of one grid have the same integers. */
export function gridKey({ scaleType, isPairSafe }: WeightGrid): string {
  return isPairSafe ? 'pair-safe' : scaleType;
}

async function chooseScales(
  tensor: Tensor,
  axis: number,
  { scaleType, isPairSafe }: WeightGrid,
  kernel: WeightKernel,
): Promise<Float32Array> {
  if (!isPairSafe) {
    const maxima = await absMax(tensor, axis, kernel);
    return maxima.map((magnitude) => chooseSymmetricScale(magnitude, LIMIT, scaleType));
  }
  const { maxima, pairSums } = await magnitudes(tensor, axis, kernel);
  return maxima.map((magnitude, index) => choosePairSafeScale(magnitude, pairSums[index]!));
}

/** Returns the largest magnitude in each index of `axis` of a weight matrix. Reads it block by block. */
export async function absMax(
  tensor: Tensor,
  axis: number,
  kernel: WeightKernel,
): Promise<Float32Array> {
  const maxima = new Float32Array(tensor.dims[axis]!);
  for await (const block of readRowBlocks(tensor, 0, tensor.dims[0]!)) {
    await foldInto(maxima, axis, block, (rows) =>
      axis === 1 ? kernel.absMaxColumns(rows) : kernel.absMaxRows(rows),
    );
  }
  return maxima;
}

/** Returns the same with the largest sums of pairs, in one reading. */
async function magnitudes(
  tensor: Tensor,
  axis: number,
  kernel: WeightKernel,
): Promise<{ readonly maxima: Float32Array; readonly pairSums: Float32Array }> {
  const maxima = new Float32Array(tensor.dims[axis]!);
  const pairSums = new Float32Array(tensor.dims[axis]!);
  const byColumn = axis === 1;
  for await (const block of readRowBlocks(tensor, 0, tensor.dims[0]!, 2)) {
    await foldInto(maxima, axis, block, (rows) =>
      byColumn ? kernel.absMaxColumns(rows) : kernel.absMaxRows(rows),
    );
    await foldInto(pairSums, axis, block, (rows) =>
      byColumn ? kernel.pairSumColumns(rows) : kernel.pairSumRows(rows),
    );
  }
  return { maxima, pairSums };
}

async function foldInto(
  maxima: Float32Array,
  axis: number,
  block: PlacedBlock,
  measure: (block: WeightBlock) => Promise<Float32Array>,
): Promise<void> {
  const measured = await measure(block);
  const first = axis === 1 ? 0 : block.firstRow;
  foldMaxima(maxima.subarray(first, first + measured.length), measured);
}

/** A {@link WeightBlock} that says where it lies. */
export type PlacedBlock = WeightBlock & { readonly firstRow: number };

/**
 * Yields rows `[firstRow, firstRow + count)` of a float matrix in blocks of some multiple of
 * `multiple` rows; each block's bytes are valid until the next.
 */
export async function* readRowBlocks(
  tensor: Tensor,
  firstRow: number,
  count: number,
  multiple = 1,
): AsyncGenerator<PlacedBlock> {
  const [, columnCount] = tensor.dims as readonly [number, number];
  const width = tensor.dataType === 'float32' ? 4 : 2;
  const rowBytes = columnCount * width;
  const multiples = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes / multiple));
  const rowsAtOnce = Math.min(count, multiples * multiple);
  const buffer = new Uint8Array(rowsAtOnce * rowBytes);
  for (let row = firstRow; row < firstRow + count; row += rowsAtOnce) {
    const rowCount = Math.min(rowsAtOnce, firstRow + count - row);
    const bytes = buffer.subarray(0, rowCount * rowBytes);
    await tensor.source.read(bytes, row * rowBytes);
    const { name } = tensor;
    const place = { name, rowCount, columnCount, firstRow: row };
    if (tensor.dataType === 'bfloat16') {
      const widened = bfloat16ArrayToFloat32(new Uint16Array(bytes.buffer, 0, bytes.length / 2));
      yield { ...place, dataType: 'float32', bytes: new Uint8Array(widened.buffer) };
    } else {
      yield { ...place, dataType: width === 2 ? 'float16' : 'float32', bytes };
    }
  }
}
