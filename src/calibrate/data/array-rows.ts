import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { createInflateRaw } from 'node:zlib';
import { FormatError } from '../../errors.ts';
import { rawByteLength } from '../../ir/data-type.ts';
import { elementCount } from '../../ir/tensor.ts';
import { elementsFromBytes } from '../../values/element-array.ts';
import type { TensorValue } from '../../values/tensor-value.ts';
import { type NpyHeader, parseNpyHeader } from './npy.ts';
import { readZipDirectory } from './zip-directory.ts';

/** An array on disk, read row by row. */
export interface ArrayRows extends Omit<NpyHeader, 'dataOffset'> {
  /** File name without extension, or the name in the archive. */
  readonly name: string;
  /** Reads `dims.slice(1)` values of each row in `indices`, which ascend. */
  rows(indices: readonly number[]): AsyncIterable<TensorValue>;
}

/** Where the bytes of a `.npy` lie, perhaps compressed. */
interface NpyBytes {
  readonly path: string;
  readonly where: string;
  readonly offset: number;
  readonly byteLength: number;
  readonly compressed: boolean;
}

/** Returns the arrays of a `.npy` or `.npz` file. Throws {@link FormatError} for a damaged one. */
export async function openArrays(path: string): Promise<readonly ArrayRows[]> {
  const file = await open(path);
  try {
    if (extname(path) !== '.npz') {
      const { size } = await file.stat();
      const bytes = { path, where: path, offset: 0, byteLength: size, compressed: false };
      return [await openArray(basename(path, '.npy'), bytes)];
    }
    const arrays: ArrayRows[] = [];
    for (const entry of await readZipDirectory(file, path)) {
      if (!entry.name.endsWith('.npy')) continue;
      const { offset, compressedLength, compressed } = entry;
      const where = `${path}: ${entry.name}`;
      const bytes = { path, where, offset, byteLength: compressedLength, compressed };
      arrays.push(await openArray(entry.name.slice(0, -'.npy'.length), bytes));
    }
    return arrays;
  } finally {
    await file.close();
  }
}

async function openArray(name: string, bytes: NpyBytes): Promise<ArrayRows> {
  const { dataType, dims, dataOffset } = await readHeader(bytes);
  if (dims.length === 0) {
    throw new FormatError(`${bytes.where}: a single number (expected a first axis of samples).`);
  }
  const rowDims = dims.slice(1);
  const rowLength = rawByteLength(dataType, elementCount(rowDims)) ?? 0;
  if (!bytes.compressed && dataOffset + rowLength * dims[0]! > bytes.byteLength) {
    throw new FormatError(
      `${bytes.where}: ends early (got ${bytes.byteLength} bytes, expected ${dataOffset + rowLength * dims[0]!}).`,
    );
  }
  const value = (row: Buffer): TensorValue => ({
    dataType,
    dims: rowDims,
    data: elementsFromBytes(dataType, row),
  });
  return {
    name,
    dataType,
    dims,
    async *rows(indices) {
      const read = bytes.compressed ? streamRows : seekRows;
      for await (const row of read(bytes, dataOffset, rowLength, indices)) yield value(row);
    },
  };
}

async function readHeader(bytes: NpyBytes): Promise<NpyHeader> {
  let head = Buffer.alloc(0);
  for await (const chunk of plainBytes(bytes)) {
    head = Buffer.concat([head, chunk]);
    const header = parseNpyHeader(head, bytes.where);
    if (header !== undefined) return header;
  }
  throw new FormatError(`${bytes.where}: ends inside its header.`);
}

/** Rows of an uncompressed array: one read each, wherever they lie. */
async function* seekRows(
  { path, where, offset }: NpyBytes,
  dataOffset: number,
  rowLength: number,
  indices: readonly number[],
): AsyncIterable<Buffer> {
  const file = await open(path);
  try {
    for (const index of indices) {
      const row = Buffer.alloc(rowLength);
      const position = offset + dataOffset + index * rowLength;
      const { bytesRead } = await file.read(row, 0, rowLength, position);
      if (bytesRead < rowLength) throw new FormatError(`${where}: ends inside row ${index}.`);
      yield row;
    }
  } finally {
    await file.close();
  }
}

/** Rows of a compressed array: inflated front to back, with one row in memory. */
async function* streamRows(
  bytes: NpyBytes,
  dataOffset: number,
  rowLength: number,
  indices: readonly number[],
): AsyncIterable<Buffer> {
  let position = 0;
  let next = 0;
  let row = Buffer.alloc(rowLength);
  for await (const chunk of plainBytes(bytes)) {
    let used = 0;
    while (next < indices.length) {
      const start = dataOffset + indices[next]! * rowLength;
      const from = Math.max(start - position, used);
      const until = Math.min(start + rowLength - position, chunk.length);
      if (from >= chunk.length && rowLength > 0) break;
      chunk.copy(row, position + from - start, from, until);
      used = until;
      if (position + until < start + rowLength) break;
      yield row;
      row = Buffer.alloc(rowLength);
      next++;
    }
    if (next === indices.length) return;
    position += chunk.length;
  }
  throw new FormatError(`${bytes.where}: ends inside row ${indices[next]}.`);
}

async function* plainBytes(bytes: NpyBytes): AsyncIterable<Buffer> {
  const { path, where, offset, byteLength, compressed } = bytes;
  if (byteLength === 0) return;
  const source = createReadStream(path, { start: offset, end: offset + byteLength - 1 });
  if (!compressed) {
    yield* source as AsyncIterable<Buffer>;
    return;
  }
  const inflate = createInflateRaw();
  source.on('error', (error) => inflate.destroy(error));
  source.pipe(inflate);
  try {
    yield* inflate as AsyncIterable<Buffer>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_') !== true) throw error;
    throw new FormatError(`${where}: its compressed bytes are damaged.`);
  } finally {
    source.destroy();
    inflate.destroy();
  }
}
