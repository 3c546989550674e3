/**
 * Element types of tensors. Names are those of the ONNX specification (TensorProto.DataType,
 * ONNX 1.20 / IR version 13) in lower case, with `float`/`double` spelled `float32`/`float64`.
 */

/** ONNX `TensorProto.DataType` number and bits per element of every known element type. */
export const DATA_TYPES = {
  float32: { code: 1, bits: 32 },
  uint8: { code: 2, bits: 8 },
  int8: { code: 3, bits: 8 },
  uint16: { code: 4, bits: 16 },
  int16: { code: 5, bits: 16 },
  int32: { code: 6, bits: 32 },
  int64: { code: 7, bits: 64 },
  /** Strings have no fixed width: their tensors carry `strings` instead of bytes. */
  string: { code: 8, bits: 0 },
  bool: { code: 9, bits: 8 },
  float16: { code: 10, bits: 16 },
  float64: { code: 11, bits: 64 },
  uint32: { code: 12, bits: 32 },
  uint64: { code: 13, bits: 64 },
  complex64: { code: 14, bits: 64 },
  complex128: { code: 15, bits: 128 },
  bfloat16: { code: 16, bits: 16 },
  float8e4m3fn: { code: 17, bits: 8 },
  float8e4m3fnuz: { code: 18, bits: 8 },
  float8e5m2: { code: 19, bits: 8 },
  float8e5m2fnuz: { code: 20, bits: 8 },
  uint4: { code: 21, bits: 4 },
  int4: { code: 22, bits: 4 },
  float4e2m1: { code: 23, bits: 4 },
  float8e8m0: { code: 24, bits: 8 },
  uint2: { code: 25, bits: 2 },
  int2: { code: 26, bits: 2 },
} as const;

/** Name of an element type that autoglm knows. */
export type KnownDataType = keyof typeof DATA_TYPES;

/** Any element type; `type27` stands for a number newer than this table, kept as it is. */
export type DataType = KnownDataType | `type${number}`;

const NAME_BY_CODE: ReadonlyMap<number, KnownDataType> = new Map(
  Object.entries(DATA_TYPES).map(([name, { code }]) => [code, name as KnownDataType]),
);

/** Returns the element type for an ONNX `TensorProto.DataType` number (0 gives `type0`, undefined in ONNX). */
export function dataTypeFromCode(code: number): DataType {
  return NAME_BY_CODE.get(code) ?? `type${code}`;
}

/** Returns the ONNX `TensorProto.DataType` number of an element type. */
export function dataTypeCode(dataType: DataType): number {
  return isKnownDataType(dataType) ? DATA_TYPES[dataType].code : Number(dataType.slice(4));
}

/** Says whether the width of the type is known to autoglm. */
export function isKnownDataType(dataType: DataType): dataType is KnownDataType {
  return dataType in DATA_TYPES;
}

/** Says whether values are real floating-point numbers of 16, 32 or 64 bits. */
export function isFloatDataType(dataType: DataType): boolean {
  return (
    dataType === 'float32' ||
    dataType === 'float16' ||
    dataType === 'bfloat16' ||
    dataType === 'float64'
  );
}

/**
 * Returns the bytes that `elementCount` values take in ONNX `raw_data` (sub-byte types are packed,
 * the last byte padded), or undefined for strings and unknown types.
 */
export function rawByteLength(dataType: DataType, elementCount: number): number | undefined {
  if (!isKnownDataType(dataType) || dataType === 'string') return undefined;
  return Math.ceil((elementCount * DATA_TYPES[dataType].bits) / 8);
}
