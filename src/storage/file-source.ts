import { closeSync, fstatSync, openSync, read, readSync, type Stats, statSync } from 'node:fs';
import { FormatError } from '../errors.ts';
import type { ByteSource } from '../formats/bytes.ts';

/**
 * Files kept open at once. Torch may store every weight in a file of its own, and systems allow
 * as few as 256 open files per process.
 */
const OPEN_FILES = 32;

interface OpenFile {
  readonly descriptor: number;
  /** Reads under way; a file in use is not closed. */
  users: number;
}

/** Open files by path, the least recently used first. */
const openFiles = new Map<string, OpenFile>();

/**
 * Returns a source over a file. The file is opened when it is read and again whenever it was
 * closed to make room; it must then still be the same file, unchanged, or the read fails with a
 * FormatError. `path` must be real (no symbolic links).
 */
export function fileSource(path: string): ByteSource {
  const seen = statSync(path);
  return {
    path,
    byteLength: seen.size,
    readSync(into, offset) {
      const file = openFile(path, seen);
      fillSync(file.descriptor, into, offset, path);
    },
    async read(into, offset) {
      const file = openFile(path, seen);
      file.users += 1;
      try {
        await fill(file.descriptor, into, offset, path);
      } finally {
        file.users -= 1;
      }
    },
  };
}

/**
 * Closes the file at `path` if it is kept open and no read is under way. Windows cannot replace
 * open files.
 */
export function closeFile(path: string): void {
  const file = openFiles.get(path);
  if (file === undefined || file.users > 0) return;
  openFiles.delete(path);
  closeSync(file.descriptor);
}

function openFile(path: string, seen: Stats): OpenFile {
  const known = openFiles.get(path);
  if (known !== undefined) {
    openFiles.delete(path);
    openFiles.set(path, known);
    if (isSame(fstatSync(known.descriptor), seen)) return known;
    closeFile(path);
  }
  const file = { descriptor: openSync(path, 'r'), users: 0 };
  if (!isSame(fstatSync(file.descriptor), seen)) {
    closeSync(file.descriptor);
    throw new FormatError(`${path}: the file changed while it was in use. Run the command again.`);
  }
  openFiles.set(path, file);
  for (const [oldest] of openFiles) {
    if (openFiles.size <= OPEN_FILES) break;
    closeFile(oldest);
  }
  return file;
}

function isSame(now: Stats, seen: Stats): boolean {
  return (
    now.ino === seen.ino &&
    now.dev === seen.dev &&
    now.size === seen.size &&
    now.mtimeMs === seen.mtimeMs
  );
}

/** fs calls move less than 2 GiB at a time and may return early. */
const READ_BYTES = 64 * 2 ** 20;

function fillSync(descriptor: number, into: Uint8Array, offset: number, path: string): void {
  for (let done = 0; done < into.length; ) {
    const length = Math.min(READ_BYTES, into.length - done);
    const count = readSync(descriptor, into, done, length, offset + done);
    if (count === 0) refuseEnd(path, offset + done);
    done += count;
  }
}

async function fill(
  descriptor: number,
  into: Uint8Array,
  offset: number,
  path: string,
): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const length = Math.min(READ_BYTES, into.length - done);
    const count = await new Promise<number>((resolve, reject) => {
      read(descriptor, into, done, length, offset + done, (error, bytesRead) => {
        if (error) reject(error);
        else resolve(bytesRead);
      });
    });
    if (count === 0) refuseEnd(path, offset + done);
    done += count;
  }
}

function refuseEnd(path: string, byteOffset: number): never {
  throw new FormatError(`${path}: the file ends at byte ${byteOffset}. Fetch it again.`, {
    byteOffset,
  });
}
