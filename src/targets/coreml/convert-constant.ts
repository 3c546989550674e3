import { UnsupportedError } from '../../errors.ts';
import {
  liesInBlob,
  MIL_TYPES,
  type MilDataType,
  type MilValue,
  milElementCount,
} from '../../formats/coreml/mil.ts';
import { derivedSource, type Tensor, type TensorSource } from '../../ir/tensor.ts';
import { FLOAT16_MAX, float16ToFloat32, float32ToFloat16 } from '../../numerics/float16.ts';

/** What stands for minus infinity: two masks of it still add up to a finite fp16. */
export const MASKED = -30_000;

const INT32_MAX = 2 ** 31 - 1;
/** Bytes of a matrix that are in memory at once when it is turned. */
const BLOCK_BYTES = 8 * 2 ** 20;

/** Reads element `index` of little-endian bytes as a number. */
type Reader = (view: DataView, index: number) => number;

const READERS: Readonly<Partial<Record<string, Reader>>> = {
  float32: (view, index) => view.getFloat32(4 * index, true),
  float64: (view, index) => view.getFloat64(8 * index, true),
  float16: (view, index) => float16ToFloat32(view.getUint16(2 * index, true)),
  int64: (view, index) => Number(view.getBigInt64(8 * index, true)),
  int32: (view, index) => view.getInt32(4 * index, true),
  uint8: (view, index) => view.getUint8(index),
  int8: (view, index) => view.getInt8(index),
  bool: (view, index) => (view.getUint8(index) === 0 ? 0 : 1),
};

const WIDTH: Readonly<Record<string, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  int64: 8,
  int32: 4,
  uint8: 1,
  int8: 1,
  bool: 1,
};

/**
 * Returns an ONNX tensor as a constant of a program: floats as `dataType`, saturated at +-65504 in fp16
 * (infinities become {@link MASKED}); integers as int32. `isTurned` transposes a matrix [in, out] to [out, in].
 * Large tensors stay lazy. Reading throws UnsupportedError for an integer that int32 does not hold.
 */
export function convertConstant(
  tensor: Tensor,
  dataType: MilDataType,
  specification: number,
  isTurned = false,
): MilValue {
  const dims = isTurned ? [tensor.dims[1] ?? 0, tensor.dims[0] ?? 0] : tensor.dims;
  const count = milElementCount(dims) ?? 0;
  const type = { dataType, dims };
  const converted = convertedSource(tensor, dataType, count);
  if (!liesInBlob(dataType, count, specification))
    return {
      type,
      data: { kind: 'numbers', numbers: smallNumbers(tensor, dataType, count, isTurned) },
    };
  const width = MIL_TYPES[dataType].bits / 8;
  const [rows = 1, columns = 1] = tensor.dims;
  return {
    type,
    data: {
      kind: 'blob',
      source: isTurned ? turnedSource(converted, { rows, columns, width }) : converted,
    },
  };
}

/** Returns the number that stands for `value` in the element type. Throws UnsupportedError out of int32. */
export function fitNumber(value: number, dataType: MilDataType, name: string): number {
  if (dataType === 'fp16') {
    if (value === -Infinity) return MASKED;
    return Math.min(Math.max(value, -FLOAT16_MAX), FLOAT16_MAX);
  }
  if (dataType === 'fp32') return value === -Infinity ? MASKED : value;
  if (dataType === 'bool') return value === 0 ? 0 : 1;
  if (Number.isInteger(value) && Math.abs(value) <= INT32_MAX) return value;
  // Slices to the end are written with the largest int64.
  if (Math.abs(value) >= 2 ** 62) return Math.sign(value) * INT32_MAX;
  throw new UnsupportedError(
    `${name}: an integer does not fit int32 (got ${value}, expected at most ${INT32_MAX}). Core ML has no int64.`,
  );
}

function smallNumbers(
  tensor: Tensor,
  dataType: MilDataType,
  count: number,
  isTurned: boolean,
): readonly number[] {
  const { bytes } = tensor.source;
  const read = READERS[tensor.dataType];
  if (bytes === undefined || read === undefined) {
    throw new UnsupportedError(
      `${tensor.name}: a constant of ${count} ${tensor.dataType} elements cannot lie in the program (expected a small one, or floats). Core ML keeps such integers in weight.bin from iOS 18 on.`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [rows = 1, columns = 1] = tensor.dims;
  return Array.from({ length: count }, (_, index) => {
    const at = isTurned ? (index % rows) * columns + Math.floor(index / rows) : index;
    return fitNumber(read(view, at), dataType, tensor.name);
  });
}

function convertedSource(tensor: Tensor, dataType: MilDataType, count: number): TensorSource {
  const { source } = tensor;
  if (
    (tensor.dataType === 'float16' && dataType === 'fp16') ||
    (tensor.dataType === 'float32' && dataType === 'fp32')
  )
    return source;
  const read = READERS[tensor.dataType];
  const from = WIDTH[tensor.dataType];
  if (read === undefined || from === undefined) {
    throw new UnsupportedError(
      `${tensor.name}: a constant of ${tensor.dataType} has no form in Core ML. Convert it to float16 or float32.`,
    );
  }
  return derivedSource({
    rowCount: count,
    rowByteLength: MIL_TYPES[dataType].bits / 8,
    ...(source.key !== undefined && { key: `${source.key}|${dataType}` }),
    async fill(into, first, rows) {
      const bytes = new Uint8Array(rows * from);
      await source.read(bytes, first * from);
      const view = new DataView(bytes.buffer);
      const target = new DataView(into.buffer, into.byteOffset, into.length);
      for (let index = 0; index < rows; index++)
        write(target, index, dataType, fitNumber(read(view, index), dataType, tensor.name));
    },
  });
}

function write(view: DataView, index: number, dataType: MilDataType, value: number): void {
  if (dataType === 'fp16') view.setUint16(2 * index, float32ToFloat16(value), true);
  else if (dataType === 'fp32') view.setFloat32(4 * index, value, true);
  else view.setInt32(4 * index, value, true);
}

interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Bytes of an element. */
  readonly width: number;
}

/** Returns the transpose of a matrix, made when it is read: one pass over it for each block asked for. */
export function turnedSource(source: TensorSource, { rows, columns, width }: Matrix): TensorSource {
  return derivedSource({
    rowCount: columns,
    rowByteLength: rows * width,
    ...(source.key !== undefined && { key: `${source.key}|turned` }),
    async fill(into, firstColumn, count) {
      const atOnce = Math.max(1, Math.min(rows, Math.floor(BLOCK_BYTES / (columns * width))));
      const block = new Uint8Array(atOnce * columns * width);
      for (let row = 0; row < rows; row += atOnce) {
        const taken = Math.min(atOnce, rows - row);
        await source.read(block.subarray(0, taken * columns * width), row * columns * width);
        for (let column = 0; column < count; column++) {
          for (let inner = 0; inner < taken; inner++) {
            const from = (inner * columns + firstColumn + column) * width;
            const to = (column * rows + row + inner) * width;
            for (let byte = 0; byte < width; byte++) into[to + byte] = block[from + byte]!;
          }
        }
      }
    },
  });
}
