import { UnsupportedError } from '../errors.ts';
import type { KnownDataType } from '../ir/data-type.ts';
import { elementCount } from '../ir/tensor.ts';
import { float16ArrayToFloat32, float32ArrayToFloat16 } from '../numerics/float16.ts';
import type { ElementArray, TensorValue } from './tensor-value.ts';

interface ArrayType {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): ElementArray;
  readonly BYTES_PER_ELEMENT: number;
}

const ARRAYS: Readonly<Partial<Record<KnownDataType, ArrayType>>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
};

/** Returns little-endian bytes as an array of the type; copies only when they are not aligned. */
export function elementsFromBytes(dataType: KnownDataType, bytes: Uint8Array): ElementArray {
  const array = arrayType(dataType);
  const aligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  const length = Math.floor(aligned.byteLength / array.BYTES_PER_ELEMENT);
  return new array(aligned.buffer, aligned.byteOffset, length);
}

/** Returns an array of zeros (false, +0) of the type. */
export function zeros(dataType: KnownDataType, length: number): ElementArray {
  const array = arrayType(dataType);
  return new array(new ArrayBuffer(length * array.BYTES_PER_ELEMENT), 0, length);
}

/** Returns a tensor of zeros or ones (false or true) of the type. */
export function filledValue(
  dataType: KnownDataType,
  dims: readonly number[],
  value: 0 | 1,
): TensorValue {
  const data = zeros(dataType, elementCount(dims));
  if (value === 1) {
    const bit: TensorValue = { dataType: 'uint8', dims: [1], data: Uint8Array.of(1) };
    const one = castValue(bit, dataType, dataType).data[0]!;
    for (let index = 0; index < data.length; index++) data[index] = one;
  }
  return { dataType, dims, data };
}

/** Returns a tensor's elements `count` times over, one after the other. */
export function repeated(data: ElementArray, count: number): ElementArray {
  const all = new (data.constructor as typeof BigInt64Array)(data.length * count);
  for (let at = 0; at < count; at++) all.set(data as BigInt64Array, at * data.length);
  return all;
}

/**
 * Returns the value in another element type; the same object when it has it already. float16 is
 * rounded to nearest even. Throws {@link UnsupportedError} naming `where` when a number does not
 * fit an integer type exactly, or the type cannot be fed.
 */
export function castValue(value: TensorValue, dataType: KnownDataType, where: string): TensorValue {
  if (value.dataType === dataType) return value;
  const { dims } = value;
  if (dataType === 'float16') {
    return { dataType, dims, data: float32ArrayToFloat16(toFloat32(value)) };
  }
  if (dataType === 'float32') return { dataType, dims, data: toFloat32(value) };
  const data = zeros(dataType, value.data.length);
  const source = value.dataType === 'float16' ? toFloat32(value) : value.data;
  for (let index = 0; index < data.length; index++) {
    const element = source[index]!;
    if (dataType === 'float64') data[index] = Number(element);
    else if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
      if (typeof element !== 'bigint' && !Number.isSafeInteger(element))
        throw lossy(where, dataType, element);
      data[index] = BigInt(element);
    } else {
      data[index] = Number(element);
      if (data[index] !== Number(element)) throw lossy(where, dataType, element);
    }
  }
  return { dataType, dims, data };
}

/** Returns the elements as float32, exact for all narrower types; the same array for float32. */
export function toFloat32({ dataType, data }: TensorValue): Float32Array {
  if (data instanceof Float32Array) return data;
  if (dataType === 'float16') return float16ArrayToFloat32(data as Uint16Array);
  return Float32Array.from(data as ArrayLike<number | bigint>, Number);
}

function arrayType(dataType: KnownDataType): ArrayType {
  const array = ARRAYS[dataType];
  if (array !== undefined) return array;
  throw new UnsupportedError(`${dataType}: values of this type cannot be fed to a model.`);
}

function lossy(where: string, dataType: KnownDataType, element: number | bigint): UnsupportedError {
  return new UnsupportedError(
    `${where}: ${element} is not a value of ${dataType}. Store the array in the type that the model declares.`,
  );
}
