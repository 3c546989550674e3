/**
 * `weight.bin`, storage version 2: a header of 64 bytes, then for each tensor a record of 64 bytes and its
 * data, each record at a multiple of 64. All numbers are little-endian.
 */
import type { TensorSource } from '../../ir/tensor.ts';
import type { ByteSource } from '../bytes.ts';
import {
  MIL_TYPES,
  type MilDataType,
  type MilValue,
  milByteLength,
  milElementCount,
} from './mil.ts';
import { refuseCoreml } from './refuse.ts';

const ALIGNMENT = 64;
const VERSION = 2;
/** First word of every record. */
const SENTINEL = 0xdeadbeef;
const CHUNK_BYTES: number = 16 * 2 ** 20;

/** A constant that lies in the file. */
export interface StoredTensor {
  readonly dataType: MilDataType;
  readonly count: number;
  readonly source: TensorSource;
  /** Position of its record. */
  readonly offset: number;
}

/** Where every tensor of a weight file lies, before any byte is written. */
export interface WeightLayout {
  readonly tensors: readonly StoredTensor[];
  readonly byteLength: number;
  /** Position of the record of each constant. */
  readonly offsets: ReadonlyMap<MilValue, number>;
}

/**
 * Returns the layout of constants in the given order; those whose sources have one key and type share bytes.
 * The length is exact: what {@link weightBytes} gives.
 */
export function layOutWeights(values: Iterable<MilValue>): WeightLayout {
  const tensors: StoredTensor[] = [];
  const offsets = new Map<MilValue, number>();
  const byKey = new Map<string, number>();
  let end = ALIGNMENT;
  for (const value of values) {
    if (value.data.kind !== 'blob' || offsets.has(value)) continue;
    const { source } = value.data;
    const { dataType, dims } = value.type;
    const key = source.key === undefined ? undefined : `${dataType} ${source.key}`;
    const known = key === undefined ? undefined : byKey.get(key);
    if (known !== undefined) {
      offsets.set(value, known);
      continue;
    }
    const offset = align(end);
    offsets.set(value, offset);
    if (key !== undefined) byKey.set(key, offset);
    tensors.push({ dataType, count: milElementCount(dims) ?? 0, source, offset });
    end = offset + ALIGNMENT + source.byteLength;
  }
  return { tensors, byteLength: end, offsets };
}

/** Yields the file front to back, at most 16 MiB of it in memory; a piece is valid until the next is asked for. */
export async function* weightBytes({ tensors }: WeightLayout): AsyncGenerator<Uint8Array> {
  const header = new Uint8Array(ALIGNMENT);
  const view = new DataView(header.buffer);
  view.setUint32(0, tensors.length, true);
  view.setUint32(4, VERSION, true);
  yield header;
  let position = ALIGNMENT;
  let buffer = new Uint8Array(0);
  for (const tensor of tensors) {
    const { source, offset } = tensor;
    if (offset > position) yield new Uint8Array(offset - position);
    yield recordOf(tensor);
    const most = Math.min(CHUNK_BYTES, source.byteLength);
    if (buffer.length < most) buffer = new Uint8Array(most);
    for (let done = 0; done < source.byteLength; done += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, source.byteLength - done));
      await source.read(chunk, done);
      yield chunk;
    }
    position = offset + ALIGNMENT + source.byteLength;
  }
}

function recordOf({ dataType, count, source, offset }: StoredTensor): Uint8Array {
  const record = new Uint8Array(ALIGNMENT);
  const view = new DataView(record.buffer);
  view.setUint32(0, SENTINEL, true);
  view.setUint32(4, MIL_TYPES[dataType].blob ?? 0, true);
  view.setBigUint64(8, BigInt(source.byteLength), true);
  view.setBigUint64(16, BigInt(offset + ALIGNMENT), true);
  view.setBigUint64(24, BigInt(unusedBits(dataType, count)), true);
  return record;
}

function unusedBits(dataType: MilDataType, count: number): number {
  return (8 - ((count * MIL_TYPES[dataType].bits) % 8)) % 8;
}

function align(position: number): number {
  return Math.ceil(position / ALIGNMENT) * ALIGNMENT;
}

/**
 * Returns the lazy bytes of the tensor whose record lies at `offset`. Throws FormatError when the record
 * is no record, is of another type or size than the program says, or reaches past the file.
 */
export function readStored(
  file: ByteSource,
  value: Omit<MilValue, 'data'>,
  offset: number,
): TensorSource {
  const where = `${file.path}: the record at byte ${offset}`;
  if (offset % ALIGNMENT !== 0 || offset < ALIGNMENT || offset + ALIGNMENT > file.byteLength) {
    refuseCoreml(
      where,
      `does not lie in the file (got ${file.byteLength} bytes, expected a multiple of 64 inside)`,
    );
  }
  const record = new Uint8Array(ALIGNMENT);
  file.readSync(record, offset);
  const view = new DataView(record.buffer);
  if (view.getUint32(0, true) !== SENTINEL) refuseCoreml(where, 'does not begin with 0xdeadbeef');
  const { dataType, dims } = value.type;
  const code = view.getUint32(4, true);
  if (code !== MIL_TYPES[dataType].blob) {
    refuseCoreml(
      where,
      `is of another type than the program says (got ${code}, expected ${MIL_TYPES[dataType].blob} for ${dataType})`,
    );
  }
  const byteLength = Number(view.getBigUint64(8, true));
  const expected = milByteLength(dataType, milElementCount(dims) ?? 0);
  if (byteLength !== expected)
    refuseCoreml(
      where,
      `is of another size than the program says (got ${byteLength}, expected ${expected} bytes)`,
    );
  const start = Number(view.getBigUint64(16, true));
  if (start !== offset + ALIGNMENT || start + byteLength > file.byteLength) {
    refuseCoreml(
      where,
      `points outside (got ${start}, expected ${offset + ALIGNMENT} and ${byteLength} bytes in the file)`,
    );
  }
  return {
    byteLength,
    key: `${file.path}:${start}+${byteLength}`,
    slice: { path: file.path, offset: start },
    async read(into, from) {
      if (from < 0 || from + into.length > byteLength) {
        throw new RangeError(
          `read of ${into.length} bytes at ${from} passes the end (${byteLength})`,
        );
      }
      await file.read(into, start + from);
    },
  };
}

/**
 * Returns the positions of all records of a file, walked from its header. Throws FormatError when a record
 * is not one, or the header counts another number of them.
 */
export function walkWeights(file: ByteSource): readonly number[] {
  const bytes = new Uint8Array(ALIGNMENT);
  const view = new DataView(bytes.buffer);
  if (file.byteLength < ALIGNMENT)
    refuseCoreml(file.path, 'is shorter than its header of 64 bytes');
  file.readSync(bytes, 0);
  const count = view.getUint32(0, true);
  const version = view.getUint32(4, true);
  if (version !== VERSION)
    refuseCoreml(file.path, `is of another storage version (got ${version}, expected 2)`);
  const found: number[] = [];
  let offset = ALIGNMENT;
  while (offset + ALIGNMENT <= file.byteLength && found.length < count) {
    file.readSync(bytes, offset);
    if (view.getUint32(0, true) !== SENTINEL)
      refuseCoreml(`${file.path}: byte ${offset}`, 'no record begins here');
    found.push(offset);
    offset = align(offset + ALIGNMENT + Number(view.getBigUint64(8, true)));
  }
  if (found.length !== count)
    refuseCoreml(
      file.path,
      `holds fewer tensors than its header says (got ${found.length}, expected ${count})`,
    );
  return found;
}
