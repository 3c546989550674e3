import { Reader } from 'protobufjs/minimal.js';
import { FormatError } from '../../errors.ts';
import { dataTypeFromCode, isKnownDataType, type KnownDataType } from '../../ir/data-type.ts';
import { elementCount } from '../../ir/tensor.ts';
import { elementsFromBytes, zeros } from '../../values/element-array.ts';
import type { TensorValue } from '../../values/tensor-value.ts';

/** Field numbers of TensorProto (onnx.proto, IR version 13) that hold values. */
const FIELD = {
  dims: 1,
  dataType: 2,
  floatData: 4,
  int32Data: 5,
  int64Data: 7,
  name: 8,
  rawData: 9,
  doubleData: 10,
  uint64Data: 11,
  dataLocation: 14,
} as const;

const DELIMITED = 2;

/**
 * Decodes a small serialized TensorProto, an `input_N.pb`, which may hold its values as raw bytes or as
 * typed fields (16-bit types as integers in `int32_data`). Throws {@link FormatError} naming `where`.
 */
export function decodeTensorProto(
  bytes: Uint8Array,
  where: string,
): { readonly name: string; readonly value: TensorValue } {
  try {
    return readTensor(Reader.create(bytes), where);
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(`${where}: not a serialized tensor (expected ONNX TensorProto).`);
  }
}

function readTensor(
  reader: Reader,
  where: string,
): { readonly name: string; readonly value: TensorValue } {
  const dims: number[] = [];
  const typed: (number | bigint)[] = [];
  let code = 0;
  let name = '';
  let raw: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const wireType = tag & 7;
    const into = (read: () => number | bigint, list: (number | bigint)[]): void => {
      if (wireType !== DELIMITED) list.push(read());
      else for (const end = reader.uint32() + reader.pos; reader.pos < end; ) list.push(read());
    };
    const int64 = (): bigint => BigInt.asIntN(64, readVarint(reader));
    switch (tag >>> 3) {
      case FIELD.dims:
        into(() => Number(int64()), dims);
        break;
      case FIELD.dataType:
        code = reader.int32();
        break;
      case FIELD.name:
        name = reader.string();
        break;
      case FIELD.rawData:
        raw = reader.bytes();
        break;
      case FIELD.floatData:
        into(() => reader.float(), typed);
        break;
      case FIELD.doubleData:
        into(() => reader.double(), typed);
        break;
      case FIELD.int32Data:
        into(() => reader.int32(), typed);
        break;
      case FIELD.int64Data:
        into(int64, typed);
        break;
      case FIELD.uint64Data:
        into(() => readVarint(reader), typed);
        break;
      case FIELD.dataLocation:
        if (reader.int32() !== 0) throw new FormatError(`${where}: external data in a test input.`);
        break;
      default:
        reader.skipType(wireType);
    }
  }
  const dataType = dataTypeFromCode(code);
  if (!isKnownDataType(dataType)) {
    throw new FormatError(`${where}: element type ${code} is not known.`);
  }
  return { name, value: { dataType, dims, data: elements(dataType, dims, raw, typed, where) } };
}

function elements(
  dataType: KnownDataType,
  dims: readonly number[],
  raw: Uint8Array | undefined,
  typed: readonly (number | bigint)[],
  where: string,
): TensorValue['data'] {
  const count = elementCount(dims);
  const empty = zeros(dataType, 0);
  const found = raw === undefined ? typed.length : raw.byteLength / empty.BYTES_PER_ELEMENT;
  if (found !== count) {
    throw new FormatError(
      `${where}: values do not fill its shape (got ${found}, expected ${count}).`,
    );
  }
  if (raw !== undefined) return elementsFromBytes(dataType, raw);
  const data = zeros(dataType, count);
  typed.forEach((value, index) => {
    data[index] = typeof data[0] === 'bigint' ? BigInt(value) : Number(value);
  });
  return data;
}

function readVarint(reader: Reader): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.buf[reader.pos++];
    if (byte === undefined) break;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw new RangeError('unterminated integer');
}
