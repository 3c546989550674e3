import type { Tensor } from '../ir/tensor.ts';
import { elementCount } from '../ir/tensor.ts';
import { float16ToFloat32 } from '../numerics/float16.ts';
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
  const reader = READERS[tensor.dataType];
  if (reader === undefined || bytes.byteLength < count * reader.width) return undefined;
  return Array.from({ length: count }, (_, index) => reader.read(view, index * reader.width));
}

interface Codec {
  readonly width: number;
  read(view: DataView, at: number): number;
}

const READERS: Readonly<Record<string, Codec>> = {
  float32: { width: 4, read: (view, at) => view.getFloat32(at, true) },
  float64: { width: 8, read: (view, at) => view.getFloat64(at, true) },
  float16: { width: 2, read: (view, at) => float16ToFloat32(view.getUint16(at, true)) },
  bool: { width: 1, read: (view, at) => view.getUint8(at) },
  int8: { width: 1, read: (view, at) => view.getInt8(at) },
  uint8: { width: 1, read: (view, at) => view.getUint8(at) },
  int16: { width: 2, read: (view, at) => view.getInt16(at, true) },
  uint16: { width: 2, read: (view, at) => view.getUint16(at, true) },
  int32: { width: 4, read: (view, at) => view.getInt32(at, true) },
  uint32: { width: 4, read: (view, at) => view.getUint32(at, true) },
  int64: { width: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  uint64: { width: 8, read: (view, at) => Number(view.getBigUint64(at, true)) },
};
