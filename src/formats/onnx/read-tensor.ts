import {
  DATA_TYPES,
  type DataType,
  dataTypeFromCode,
  isKnownDataType,
  rawByteLength,
} from '../../ir/data-type.ts';
import type { SparseTensor } from '../../ir/model.ts';
import { inlineSource, type Tensor, type TensorSource } from '../../ir/tensor.ts';
import type { ByteSource } from '../bytes.ts';
import type { ExternalData } from './external-data.ts';
import { IN_MEMORY_BYTES, LIMITS } from './limits.ts';
import type { Int64, SparseTensorMessage, TensorMessage } from './messages.ts';
import { type PayloadSlice, sliceSource, varintSource } from './payload-source.ts';
import { readDocumented, readSize, readUnknown } from './read-common-fields.ts';
import { refuse } from './refuse.ts';
import { MESSAGE_FIELDS } from './schema.ts';

/** Where the tensors of a model lie. */
export interface TensorFiles {
  readonly model: ByteSource;
  readonly external: ExternalData;
}

/**
 * Returns the tensor of a TensorProto; `where` is the path of the model. Payloads larger than
 * {@link IN_MEMORY_BYTES} stay on disk. Throws FormatError when type, dims and payload do not fit
 * together.
 */
export function readTensor(message: TensorMessage, files: TensorFiles, where: string): Tensor {
  const name = message.name ?? '';
  const at = `${where}: tensor "${name}"`;
  const dims = (message.dims ?? []).map((dim) => readSize(dim, `${at}: a dimension`));
  if (dims.length > LIMITS.rank) {
    refuse(at, `it has too many dimensions (got ${dims.length}, expected at most ${LIMITS.rank})`);
  }
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (!(count <= LIMITS.tensorElements)) {
    refuse(at, `dims [${dims}] ask for more than ${LIMITS.tensorElements} elements`);
  }
  const code = message.dataType ?? 0;
  if (code <= 0) refuse(at, `it has no element type (data_type is ${code})`);
  const dataType = dataTypeFromCode(code);
  const strings = dataType === 'string' ? (message.stringData ?? []).map(copyBytes) : undefined;
  if (strings !== undefined && strings.length !== count) {
    refuse(at, `dims [${dims}] ask for ${count} strings (got ${strings.length})`);
  }
  return {
    name,
    dataType,
    dims,
    source: strings
      ? inlineSource(new Uint8Array())
      : readSource(message, dataType, count, files, at),
    ...(strings && { strings }),
    ...readDocumented(message, 'TensorProto'),
  };
}

/** Returns the sparse tensor of a SparseTensorProto. Throws FormatError like {@link readTensor}. */
export function readSparseTensor(
  message: SparseTensorMessage,
  files: TensorFiles,
  where: string,
): SparseTensor {
  if (message.values === undefined || message.indices === undefined) {
    refuse(where, 'a sparse tensor lacks its values or indices');
  }
  return {
    values: readTensor(message.values, files, where),
    indices: readTensor(message.indices, files, where),
    dims: (message.dims ?? []).map((dim) => readSize(dim, `${where}: a sparse tensor's dimension`)),
    ...readUnknown(message),
  };
}

function readSource(
  message: TensorMessage,
  dataType: DataType,
  count: number,
  files: TensorFiles,
  at: string,
): TensorSource {
  const byteLength = rawByteLength(dataType, count);
  const typed = typedField(dataType);
  const marks = message.payload ?? [];
  const present = [
    ...PAYLOAD_NAMES.filter((name) => (message[name]?.length ?? 0) > 0),
    ...new Set(marks.map((mark) => fieldName(mark.field))),
  ];
  if (message.dataLocation === 1) {
    if (present.length > 0) refuse(at, 'it has data both inside and outside the file');
    return sliceSource(files.external.locate(message.externalData ?? [], byteLength, at));
  }
  if (present.length > 1) refuse(at, `it has data twice (${present.join(' and ')})`);
  const field = present[0];
  if (field !== undefined && field !== 'rawData' && field !== typed) {
    refuse(at, `elements of type ${dataType} cannot be in ${field}`);
  }
  const source =
    marks.length > 0
      ? markedSource(marks, dataType, count, files.model, at)
      : inlineSource(inlineBytes(message, dataType));
  if (byteLength !== undefined && source.byteLength !== byteLength) {
    refuse(
      at,
      `its data has the wrong length (got ${source.byteLength} bytes, expected ${byteLength})`,
    );
  }
  return source;
}

const PAYLOAD_NAMES = [
  'rawData',
  'floatData',
  'int32Data',
  'int64Data',
  'doubleData',
  'uint64Data',
] as const;

type PayloadName = (typeof PAYLOAD_NAMES)[number];

function fieldName(id: number): PayloadName {
  return MESSAGE_FIELDS.get('TensorProto')?.get(id)?.name as PayloadName;
}

/** The field that may hold elements of a type when raw_data does not (onnx.proto, TensorProto). */
function typedField(dataType: DataType): PayloadName | undefined {
  if (!isKnownDataType(dataType)) return undefined;
  if (dataType === 'float32' || dataType === 'complex64') return 'floatData';
  if (dataType === 'float64' || dataType === 'complex128') return 'doubleData';
  if (dataType === 'int64') return 'int64Data';
  return dataType === 'uint32' || dataType === 'uint64' ? 'uint64Data' : 'int32Data';
}

/**
 * Bytes of raw_data for which one entry of a varint field stands; sub-byte elements come packed
 * in bytes.
 */
function entryBytes(dataType: DataType): number {
  return isKnownDataType(dataType) ? Math.max(1, DATA_TYPES[dataType].bits / 8) : 1;
}

function markedSource(
  marks: NonNullable<TensorMessage['payload']>,
  dataType: DataType,
  count: number,
  model: ByteSource,
  where: string,
): TensorSource {
  const slices = marks.map(
    (mark): PayloadSlice => ({
      file: model,
      offset: mark.position,
      byteLength: mark.byteLength,
    }),
  );
  const [slice] = slices;
  const field = fieldName(marks[0]?.field ?? 0);
  if (slice === undefined || slices.length > 1) {
    refuse(where, `its ${field} is split into ${slices.length} parts`);
  }
  if (field === 'rawData' || field === 'floatData' || field === 'doubleData') {
    return sliceSource(slice);
  }
  const bytesPerEntry = entryBytes(dataType);
  const entryCount = (rawByteLength(dataType, count) ?? 0) / bytesPerEntry;
  return varintSource({ where, slice, entryBytes: bytesPerEntry, entryCount });
}

/**
 * Converts a small payload to raw_data layout, in a buffer of its own so that any view is
 * aligned.
 */
function inlineBytes(message: TensorMessage, dataType: DataType): Uint8Array {
  const { floatData, doubleData, int32Data, int64Data, uint64Data, rawData } = message;
  if (floatData?.length) {
    return fill(floatData, 4, (view, at, value) => view.setFloat32(at, value, true));
  }
  if (doubleData?.length) {
    return fill(doubleData, 8, (view, at, value) => view.setFloat64(at, value, true));
  }
  if (int32Data?.length) {
    const width = entryBytes(dataType);
    return fill(int32Data, width, (view, at, value) => {
      if (width === 1) view.setInt8(at, value);
      else if (width === 2) view.setInt16(at, value, true);
      else view.setInt32(at, value, true);
    });
  }
  const wide = int64Data?.length ? int64Data : uint64Data;
  if (wide?.length) {
    const width = entryBytes(dataType);
    return fill(wide, width, (view, at, { low, high }: Int64) => {
      view.setInt32(at, low, true);
      if (width === 8) view.setInt32(at + 4, high, true);
    });
  }
  return copyBytes(rawData ?? new Uint8Array());
}

function fill<Value>(
  values: readonly Value[],
  width: number,
  put: (view: DataView, at: number, value: Value) => void,
): Uint8Array {
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    put(view, index * width, value);
  });
  return bytes;
}

function copyBytes(bytes: Uint8Array): Uint8Array {
  return bytes.slice();
}
