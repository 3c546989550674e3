/** The bytes of constants as MNN wants them, made when a writer pulls them. */
import { UnsupportedError } from '../../errors.ts';
import { DATA_TYPES, isKnownDataType } from '../../ir/data-type.ts';
import {
  derivedSource,
  elementCount,
  inlineSource,
  type Tensor,
  type TensorSource,
} from '../../ir/tensor.ts';
import { bfloat16ArrayToFloat32 } from '../../numerics/bfloat16.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../numerics/float16.ts';

/** Elements converted at a time. */
const CHUNK_ELEMENTS = 256 * 1024;
/** Bytes of rows that are turned at once: as many as a cache holds. */
const TURN_BYTES = 1024 * 1024;

/** Returns the elements of a float constant as float32; those of 64 bits are rounded. */
export function float32Source(tensor: Tensor): TensorSource {
  if (tensor.dataType === 'float32') return tensor.source;
  return convertedSource(tensor, 'float32', 4, (from, view) => {
    readFloats(tensor, from).forEach((value, index) => {
      view.setFloat32(4 * index, value, true);
    });
  });
}

/** Returns the elements of a float constant as float16, rounded to nearest. */
export function float16Source(tensor: Tensor): TensorSource {
  if (tensor.dataType === 'float16') return tensor.source;
  return convertedSource(tensor, 'float16', 2, (from, view) => {
    readFloats(tensor, from).forEach((value, index) => {
      view.setUint16(2 * index, float32ToFloat16(value), true);
    });
  });
}

/**
 * Returns the elements of an integer or bool constant as int32. Reading throws {@link UnsupportedError} naming the
 * tensor for a number beyond 32 bits.
 */
export function int32Source(tensor: Tensor): TensorSource {
  if (tensor.dataType === 'int32') return tensor.source;
  return convertedSource(tensor, 'int32', 4, (from, view) => {
    readIntegers(tensor, from).forEach((value, index) => {
      view.setInt32(4 * index, requireInt32(value, `constant ${tensor.name}`), true);
    });
  });
}

/** Returns the number. Throws {@link UnsupportedError} beginning with `where` when it is beyond 32 bits. */
export function requireInt32(value: number, where: string): number {
  if (Number.isInteger(value) && Math.abs(value) <= 2 ** 31 - 1) return value;
  throw new UnsupportedError(
    `${where}: MNN has 32-bit integers alone (got ${value}, expected at most 2147483647 either way). ` +
      'Export the model with smaller numbers.',
  );
}

type Convert = (from: Uint8Array, into: DataView) => void;

function convertedSource(
  tensor: Tensor,
  to: string,
  width: number,
  convert: Convert,
): TensorSource {
  const { dataType, source, dims } = tensor;
  const fromWidth = isKnownDataType(dataType) ? DATA_TYPES[dataType].bits / 8 : 0;
  const count = elementCount(dims);
  const convertPart = (bytes: Uint8Array, into: Uint8Array): void => {
    convert(bytes, new DataView(into.buffer, into.byteOffset, into.byteLength));
  };
  if (source.bytes !== undefined) {
    const converted = new Uint8Array(count * width);
    if (dataType !== 'int64' && dataType !== 'uint64' && dataType !== 'uint32') {
      convertPart(source.bytes, converted);
      return inlineSource(converted, source.key && `${source.key}|${to}`);
    }
  }
  return derivedSource({
    ...(source.key !== undefined && { key: `${source.key}|${to}` }),
    rowCount: count,
    rowByteLength: width,
    async fill(into, first, rows) {
      for (let done = 0; done < rows; done += CHUNK_ELEMENTS) {
        const taken = Math.min(CHUNK_ELEMENTS, rows - done);
        const bytes = new Uint8Array(taken * fromWidth);
        await source.read(bytes, (first + done) * fromWidth);
        convertPart(bytes, into.subarray(done * width, (done + taken) * width));
      }
    },
  });
}

function readFloats({ dataType, name }: Tensor, bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const list = (width: number, read: (at: number) => number): number[] =>
    Array.from({ length: bytes.byteLength / width }, (_, index) => read(index * width));
  switch (dataType) {
    case 'float32':
      return list(4, (at) => view.getFloat32(at, true));
    case 'float64':
      return list(8, (at) => view.getFloat64(at, true));
    case 'float16':
      return list(2, (at) => float16ToFloat32(view.getUint16(at, true)));
    case 'bfloat16':
      return [
        ...bfloat16ArrayToFloat32(Uint16Array.from(list(2, (at) => view.getUint16(at, true)))),
      ];
    default:
      throw new UnsupportedError(
        `constant ${name}: MNN takes no ${dataType} as floats. Convert it to float32.`,
      );
  }
}

function readIntegers({ dataType, name }: Tensor, bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const list = (width: number, read: (at: number) => number): number[] =>
    Array.from({ length: bytes.byteLength / width }, (_, index) => read(index * width));
  switch (dataType) {
    case 'int64':
      return list(8, (at) => Number(view.getBigInt64(at, true)));
    case 'uint64':
      return list(8, (at) => Number(view.getBigUint64(at, true)));
    case 'uint32':
      return list(4, (at) => view.getUint32(at, true));
    case 'int16':
      return list(2, (at) => view.getInt16(at, true));
    case 'uint16':
      return list(2, (at) => view.getUint16(at, true));
    case 'int8':
      return list(1, (at) => view.getInt8(at));
    case 'uint8':
    case 'bool':
      return list(1, (at) => view.getUint8(at));
    default:
      throw new UnsupportedError(
        `constant ${name}: MNN takes no ${dataType} as integers. Convert it to int32.`,
      );
  }
}

/**
 * Returns the transpose of a matrix [rows, columns] whose elements are 2 or 4 bytes wide. Each block of the result that
 * is asked for reads the whole matrix once, or its columns alone where they are few.
 */
export function turnedSource(
  source: TensorSource,
  rows: number,
  columns: number,
  width: 2 | 4,
): TensorSource {
  return derivedSource({
    rowCount: columns,
    rowByteLength: rows * width,
    ...(source.key !== undefined && { key: `${source.key}|turned` }),
    async fill(into, firstColumn, count) {
      const isNarrow = count * NARROW < columns;
      const stride = isNarrow ? count : columns;
      const rowsAtOnce = isNarrow ? 1 : Math.max(1, Math.floor(TURN_BYTES / (columns * width)));
      // A buffer of its own: `into` may begin at an odd place.
      const turned = arrayOf(width, count * rows);
      const block = arrayOf(width, Math.min(rowsAtOnce, rows) * stride);
      for (let row = 0; row < rows; row += rowsAtOnce) {
        const taken = Math.min(rowsAtOnce, rows - row);
        const bytes = new Uint8Array(block.buffer, 0, taken * stride * width);
        await source.read(bytes, (row * columns + (isNarrow ? firstColumn : 0)) * width);
        const skip = isNarrow ? 0 : firstColumn;
        for (let column = 0; column < count; column++) {
          const to = column * rows + row;
          let from = skip + column;
          for (let index = 0; index < taken; index++, from += stride) {
            turned[to + index] = block[from]!;
          }
        }
      }
      into.set(new Uint8Array(turned.buffer));
    },
  });
}

/** Fewer columns than one in so many are read row by row. */
const NARROW = 64;

/** Bit patterns are moved as integers: floats could be changed on the way. */
function arrayOf(width: 2 | 4, length: number): Uint16Array | Uint32Array {
  return width === 2 ? new Uint16Array(length) : new Uint32Array(length);
}
