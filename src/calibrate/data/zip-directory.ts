import type { FileHandle } from 'node:fs/promises';
import { FormatError } from '../../errors.ts';

/** A file inside a zip archive. */
export interface ZipEntry {
  readonly name: string;
  readonly compressed: boolean;
  /** Offset of the (compressed) bytes in the archive. */
  readonly offset: number;
  readonly compressedLength: number;
  readonly length: number;
}

const END_RECORD = 0x06054b50;
const END_LOCATOR_64 = 0x07064b50;
const CENTRAL_HEADER = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;
/** Arrays in one archive; a model has a few inputs. */
const ENTRY_LIMIT = 10_000;
const DIRECTORY_LIMIT = 16 << 20;

/**
 * Returns the entries of a zip archive (PKWARE APPNOTE 6.3, Zip64 included) without reading their
 * contents. Throws {@link FormatError} naming `where` for a damaged archive or an unknown method.
 */
export async function readZipDirectory(
  file: FileHandle,
  where: string,
): Promise<readonly ZipEntry[]> {
  const { size } = await file.stat();
  const { offset, length, count } = await findDirectory(file, size, where);
  if (count > ENTRY_LIMIT || length > DIRECTORY_LIMIT || offset + length > size) {
    throw new FormatError(`${where}: damaged zip archive (its directory passes the limits).`);
  }
  const directory = await readAt(file, offset, length);
  const entries: ZipEntry[] = [];
  let at = 0;
  while (entries.length < count) {
    if (at + 46 > length || directory.readUInt32LE(at) !== CENTRAL_HEADER) {
      throw new FormatError(`${where}: damaged zip archive (its directory ends early).`);
    }
    const nameLength = directory.readUInt16LE(at + 28);
    const extraLength = directory.readUInt16LE(at + 30);
    const name = directory.toString('utf8', at + 46, at + 46 + nameLength);
    const sizes = entrySizes(directory, at, nameLength, extraLength);
    const method = directory.readUInt16LE(at + 10);
    if (method !== 0 && method !== 8) {
      throw new FormatError(`${where}: ${name} is packed by method ${method} (expected 0 or 8).`);
    }
    const local = await readAt(file, sizes.header, 30);
    if (local.length < 30 || local.readUInt32LE(0) !== LOCAL_HEADER) {
      throw new FormatError(`${where}: damaged zip archive (${name} is not where it should be).`);
    }
    const dataOffset = sizes.header + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
    if (dataOffset + sizes.compressed > size) {
      throw new FormatError(`${where}: damaged zip archive (${name} passes its end).`);
    }
    entries.push({
      name,
      compressed: method === 8,
      offset: dataOffset,
      compressedLength: sizes.compressed,
      length: sizes.plain,
    });
    at += 46 + nameLength + extraLength + directory.readUInt16LE(at + 32);
  }
  return entries;
}

interface DirectoryPlace {
  readonly offset: number;
  readonly length: number;
  readonly count: number;
}

async function findDirectory(
  file: FileHandle,
  size: number,
  where: string,
): Promise<DirectoryPlace> {
  // The end record is 22 bytes and a comment of up to 65,535.
  const tailStart = Math.max(0, size - 65_557 - 20);
  const tail = await readAt(file, tailStart, size - tailStart);
  const end = tail.lastIndexOf(Buffer.of(0x50, 0x4b, 5, 6));
  if (end < 0 || end + 22 > tail.length || tail.readUInt32LE(end) !== END_RECORD) {
    throw new FormatError(`${where}: not a zip archive (expected a .npz file of NumPy).`);
  }
  if (end >= 20 && tail.readUInt32LE(end - 20) === END_LOCATOR_64) {
    const record = await readAt(file, Number(tail.readBigUInt64LE(end - 20 + 8)), 56);
    if (record.length === 56) {
      return {
        count: Number(record.readBigUInt64LE(32)),
        length: Number(record.readBigUInt64LE(40)),
        offset: Number(record.readBigUInt64LE(48)),
      };
    }
  }
  return {
    count: tail.readUInt16LE(end + 10),
    length: tail.readUInt32LE(end + 12),
    offset: tail.readUInt32LE(end + 16),
  };
}

function entrySizes(
  directory: Buffer,
  at: number,
  nameLength: number,
  extraLength: number,
): { readonly compressed: number; readonly plain: number; readonly header: number } {
  const plain = directory.readUInt32LE(at + 24);
  const compressed = directory.readUInt32LE(at + 20);
  const header = directory.readUInt32LE(at + 42);
  // The Zip64 field (id 1) holds, in this order, those of the three that did not fit 32 bits.
  let position = at + 46 + nameLength;
  const end = Math.min(position + extraLength, directory.length);
  while (position + 4 <= end && directory.readUInt16LE(position) !== 1) {
    position += 4 + directory.readUInt16LE(position + 2);
  }
  position += 4;
  const wide = (value: number): number => {
    if (value !== 0xffffffff || position + 8 > end) return value;
    position += 8;
    return Number(directory.readBigUInt64LE(position - 8));
  };
  const widePlain = wide(plain);
  const wideCompressed = wide(compressed);
  return { plain: widePlain, compressed: wideCompressed, header: wide(header) };
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}
