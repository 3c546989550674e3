import type { DataType } from '../ir/data-type.ts';
import { elementCount, inlineTensor, type Tensor } from '../ir/tensor.ts';
import { float16ToFloat32, float32ToFloat16 } from '../numerics/float16.ts';
import { type Facts, MAX_ELEMENTS } from './op-spec.ts';

/** Returns the facts of a constant: its elements only when they are few and already in memory. */
export function tensorFacts(tensor: Tensor): Facts {
  const { dataType, dims: shape } = tensor;
  const elements = tensorElements(tensor);
  return elements === undefined ? { dataType, shape } : { dataType, shape, elements };
}

/** Returns the elements of a small inline tensor as numbers (bool as 0 and 1), else undefined. */
export function tensorElements(tensor: Tensor): readonly number[] | undefined {
  const { bytes } = tensor.source;
  const count = elementCount(tensor.dims);
  if (bytes === undefined || count > MAX_ELEMENTS) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const codec = CODECS[tensor.dataType];
  if (codec === undefined || bytes.byteLength < count * codec.width) return undefined;
  return Array.from({ length: count }, (_, index) => codec.read(view, index * codec.width));
}

/**
 * Returns an inline tensor with the given row-major elements, or undefined when the type has no
 * codec here or a 64-bit integer is too large to be exact as a number.
 */
export function tensorOfElements(
  name: string,
  dataType: DataType,
  dims: readonly number[],
  elements: readonly number[],
): Tensor | undefined {
  const codec = CODECS[dataType];
  const exact = !dataType.endsWith('int64') || elements.every(Number.isSafeInteger);
  if (codec === undefined || !exact) return undefined;
  const view = new DataView(new ArrayBuffer(elements.length * codec.width));
  elements.forEach((element, index) => {
    codec.write(view, index * codec.width, element);
  });
  return inlineTensor(name, dataType, dims, new Uint8Array(view.buffer));
}

interface Codec {
  readonly width: number;
  read(view: DataView, at: number): number;
  write(view: DataView, at: number, value: number): void;
}

const CODECS: Readonly<Record<string, Codec>> = {
  float32: {
    width: 4,
    read: (view, at) => view.getFloat32(at, true),
    write: (view, at, value) => view.setFloat32(at, value, true),
  },
  float64: {
    width: 8,
    read: (view, at) => view.getFloat64(at, true),
    write: (view, at, value) => view.setFloat64(at, value, true),
  },
  int16: {
    width: 2,
    read: (view, at) => view.getInt16(at, true),
    write: (view, at, value) => view.setInt16(at, value, true),
  },
  uint16: {
    width: 2,
    read: (view, at) => view.getUint16(at, true),
    write: (view, at, value) => view.setUint16(at, value, true),
  },
  int32: {
    width: 4,
    read: (view, at) => view.getInt32(at, true),
    write: (view, at, value) => view.setInt32(at, value, true),
  },
  uint32: {
    width: 4,
    read: (view, at) => view.getUint32(at, true),
    write: (view, at, value) => view.setUint32(at, value, true),
  },
  float16: {
    width: 2,
    read: (view, at) => float16ToFloat32(view.getUint16(at, true)),
    write: (view, at, value) => view.setUint16(at, float32ToFloat16(value), true),
  },
  bool: {
    width: 1,
    read: (view, at) => view.getUint8(at),
    write: (view, at, value) => view.setUint8(at, value),
  },
  int8: {
    width: 1,
    read: (view, at) => view.getInt8(at),
    write: (view, at, value) => view.setInt8(at, value),
  },
  uint8: {
    width: 1,
    read: (view, at) => view.getUint8(at),
    write: (view, at, value) => view.setUint8(at, value),
  },
  int64: {
    width: 8,
    read: (view, at) => Number(view.getBigInt64(at, true)),
    write: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  },
  uint64: {
    width: 8,
    read: (view, at) => Number(view.getBigUint64(at, true)),
    write: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  },
};
