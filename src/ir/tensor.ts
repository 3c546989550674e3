import type { DataType } from './data-type.ts';
import type { Metadata, UnknownFields } from './preserved.ts';

/** A range of bytes of a file on disk, by the path under which the reader opened it. */
export interface FileSlice {
  readonly path: string;
  readonly offset: number;
}

/**
 * Where the bytes of a tensor come from. Nothing is read before somebody calls `read`, so a graph
 * of 18 GB of weights is a few megabytes of records.
 */
export interface TensorSource {
  /** Length of the little-endian, densely packed bytes (ONNX `raw_data` layout). */
  readonly byteLength: number;
  /** Sources with equal keys promise equal bytes; writers store them once (tied weights). */
  readonly key?: string;
  /** The bytes themselves, when they are already in memory (small tensors always are). */
  readonly bytes?: Uint8Array;
  /** Where the bytes lie on disk, so that a runtime can map them without a copy. */
  readonly slice?: FileSlice;
  /**
   * Fills the whole of `into` with the bytes that start at `offset`. Rejects when
   * `offset + into.length` passes `byteLength`.
   */
  read(into: Uint8Array, offset: number): Promise<void>;
}

/** A constant tensor: element type, dimensions and a lazy source of bytes. */
export interface Tensor {
  /** TensorProto.name; equals the map key for initializers. */
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly source: TensorSource;
  /** Elements of a `string` tensor (its `source` is empty). */
  readonly strings?: readonly Uint8Array[];
  readonly docString?: string;
  readonly metadata?: Metadata;
  readonly unknownFields?: UnknownFields;
}

/** Returns the product of the dimensions; 1 for a scalar. */
export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** Returns a source over bytes that are already in memory. */
export function inlineSource(bytes: Uint8Array, key?: string): TensorSource {
  return {
    byteLength: bytes.byteLength,
    bytes,
    ...(key !== undefined && { key }),
    async read(into, offset) {
      checkRange(offset, into.length, bytes.byteLength);
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}

/** How the bytes of a derived tensor are made, some whole rows at a time. */
export interface DerivedRows {
  /** Equal keys promise equal bytes. */
  readonly key?: string;
  readonly rowCount: number;
  readonly rowByteLength: number;
  /** Fills `into` with the rows `[firstRow, firstRow + rowCount)`. */
  fill(into: Uint8Array, firstRow: number, rowCount: number): Promise<void>;
}

/**
 * Returns a source whose bytes are computed when they are read, by whole rows. Reads that begin or
 * end inside a row compute that row in a buffer of its own, so any range may be asked for;
 * reading front to back in multiples of the row length costs no extra work.
 */
export function derivedSource(rows: DerivedRows): TensorSource {
  const { rowByteLength, rowCount } = rows;
  const byteLength = rowByteLength * rowCount;
  return {
    byteLength,
    ...(rows.key !== undefined && { key: rows.key }),
    async read(into, offset) {
      checkRange(offset, into.length, byteLength);
      let done = 0;
      while (done < into.length) {
        const position = offset + done;
        const row = Math.floor(position / rowByteLength);
        const skip = position - row * rowByteLength;
        const whole = Math.floor((into.length - done) / rowByteLength);
        if (skip === 0 && whole > 0) {
          await rows.fill(into.subarray(done, done + whole * rowByteLength), row, whole);
          done += whole * rowByteLength;
        } else {
          const partial = new Uint8Array(rowByteLength);
          await rows.fill(partial, row, 1);
          const taken = Math.min(rowByteLength - skip, into.length - done);
          into.set(partial.subarray(skip, skip + taken), done);
          done += taken;
        }
      }
    },
  };
}

/** Returns a tensor whose bytes are in memory. `bytes` is little-endian `raw_data` layout. */
export function inlineTensor(
  name: string,
  dataType: DataType,
  dims: readonly number[],
  bytes: Uint8Array,
): Tensor {
  return { name, dataType, dims, source: inlineSource(bytes) };
}

/** Returns all bytes of a tensor in a buffer of its own. For small tensors and tests only. */
export async function readTensorBytes(tensor: Tensor): Promise<Uint8Array> {
  const bytes = new Uint8Array(tensor.source.byteLength);
  await tensor.source.read(bytes, 0);
  return bytes;
}

function checkRange(offset: number, length: number, byteLength: number): void {
  if (offset < 0 || offset + length > byteLength) {
    throw new RangeError(`read of ${length} bytes at ${offset} passes the end (${byteLength})`);
  }
}
