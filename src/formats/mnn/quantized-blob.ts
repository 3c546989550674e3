/**
 * The linear-coded form of quantized weights (`IDSTQuan` type 1): a header of shape and code values, then the
 * packed indices of the codes. The code values are always the full ramp -2^(b-1)..2^(b-1)-1, so that the
 * index of a value is `q + 2^(b-1)` and kernels take the bytes as they are.
 */
import { FormatError } from '../../errors.ts';
import { inlineSource, type TensorSource } from '../../ir/tensor.ts';

/** Widths of codes that are written and read. */
export type CodeBits = 4 | 8;

/**
 * Returns the header of a blob of `rows` x `columns` codes: number of dims, the dims as uint16 (or as uint32, see
 * {@link needsWideShape}), the number of code values (256 as 0) and the values as int8.
 */
function blobHeader(rows: number, columns: number, bits: CodeBits): Uint8Array {
  const wide = needsWideShape(rows, columns);
  const width = wide ? 4 : 2;
  const levels = 2 ** bits;
  const header = new Uint8Array(1 + 2 * width + 1 + levels);
  const view = new DataView(header.buffer);
  header[0] = 2;
  [rows, columns].forEach((dim, index) => {
    if (wide) view.setUint32(1 + index * width, dim, true);
    else view.setUint16(1 + index * width, dim, true);
  });
  header[1 + 2 * width] = levels % 256;
  for (let code = 0; code < levels; code++) {
    view.setInt8(2 + 2 * width + code, code - levels / 2);
  }
  return header;
}

/** Says whether a dim passes 65,535: then `shapeInt32` must be true. */
export function needsWideShape(rows: number, columns: number): boolean {
  return rows > 0xffff || columns > 0xffff;
}

/** Returns sources one behind the other as one. */
function concatSources(parts: readonly TensorSource[], key?: string): TensorSource {
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return {
    byteLength,
    ...(key !== undefined && { key }),
    async read(into, offset) {
      let start = 0;
      for (const part of parts) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + into.length, start + part.byteLength);
        if (from < to) await part.read(into.subarray(from - offset, to - offset), from - start);
        start += part.byteLength;
      }
      if (offset + into.length > start) {
        throw new RangeError(`read of ${into.length} bytes at ${offset} passes the end (${start})`);
      }
    },
  };
}

/**
 * Returns the blob of codes that are stored about the middle: `codes` holds `q + 128`, one byte each (8 bits), or
 * `q + 8`, two a byte with the first in the high half (4 bits), rows * columns in row-major order.
 */
export function quantizedBlob(
  rows: number,
  columns: number,
  bits: CodeBits,
  codes: TensorSource,
): TensorSource {
  const expected = Math.ceil((rows * columns * bits) / 8);
  if (codes.byteLength !== expected) {
    throw new RangeError(`a blob of ${rows} x ${columns} has ${codes.byteLength} bytes of codes`);
  }
  return concatSources([inlineSource(blobHeader(rows, columns, bits)), codes]);
}

/** What a blob says: how many codes, their values, and where the packed indices begin. */
interface BlobLayout {
  readonly count: number;
  readonly values: Int8Array;
  readonly bits: number;
  readonly indexStart: number;
}

/**
 * Returns the layout of the blob that begins with `bytes` (at least its header) and is `byteLength` long. Throws
 * {@link FormatError} beginning with `where` when it is not one or its indices do not fill it exactly.
 */
function readBlobLayout(
  bytes: Uint8Array,
  byteLength: number,
  isWide: boolean,
  where: string,
): BlobLayout {
  const refuse = (what: string): never => {
    throw new FormatError(`${where}: ${what}. The file is damaged: export it again.`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dims = bytes[0] ?? refuse('a quantized weight is empty');
  const width = isWide ? 4 : 2;
  const levelsAt = 1 + dims * width;
  if (dims < 1 || dims > 4 || levelsAt >= bytes.length) {
    refuse(`a quantized weight has no readable shape (got ${dims} dims in ${byteLength} bytes)`);
  }
  let count = 1;
  for (let index = 0; index < dims; index++) {
    const at = 1 + index * width;
    count *= isWide ? view.getUint32(at, true) : view.getUint16(at, true);
  }
  const levels = bytes[levelsAt] === 0 ? 256 : bytes[levelsAt]!;
  const indexStart = levelsAt + 1 + levels;
  const bits = Math.max(1, Math.ceil(Math.log2(levels)));
  const expected = indexStart + Math.ceil((count * bits) / 8);
  if (!Number.isSafeInteger(count) || indexStart > bytes.length || expected !== byteLength) {
    refuse(
      `a quantized weight has the wrong length (got ${byteLength} bytes, expected ${expected})`,
    );
  }
  return {
    count,
    bits,
    indexStart,
    values: new Int8Array(bytes.slice(levelsAt + 1, indexStart).buffer),
  };
}

/**
 * Returns the integers of a whole blob. Throws {@link FormatError} as {@link readBlobLayout} does, and for an index
 * without a code value.
 */
export function decodeBlob(blob: Uint8Array, isWide: boolean, where: string): Int8Array {
  const { count, values, bits, indexStart } = readBlobLayout(blob, blob.length, isWide, where);
  const decoded = new Int8Array(count);
  let bit = 0;
  for (let at = 0; at < count; at++) {
    let index = 0;
    for (let read = 0; read < bits; read++, bit++) {
      const byte = blob[indexStart + (bit >> 3)]!;
      index = (index << 1) | ((byte >> (7 - (bit & 7))) & 1);
    }
    const value = values[index];
    if (value === undefined) {
      throw new FormatError(
        `${where}: a code has no value (got ${index}, expected less than ${values.length}). The file is damaged: export it again.`,
      );
    }
    decoded[at] = value;
  }
  return decoded;
}
