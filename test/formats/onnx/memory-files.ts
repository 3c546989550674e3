import { FormatError } from '../../../src/errors.ts';
import type { ByteSource, ExternalFiles, OutputFolder } from '../../../src/formats/bytes.ts';

/** Returns a source over bytes in memory. */
export function memoryFile(bytes: Uint8Array, path = '/model.onnx'): ByteSource {
  const readSync = (into: Uint8Array, offset: number): void => {
    if (offset + into.length > bytes.length) throw new RangeError('read past the end');
    into.set(bytes.subarray(offset, offset + into.length));
  };
  return {
    path,
    byteLength: bytes.length,
    readSync,
    read: async (into, offset) => readSync(into, offset),
  };
}

/** External files that are not there. */
export const NO_FILES: ExternalFiles = {
  open(location, where) {
    throw new FormatError(`${where}: its data ${location} is missing.`);
  },
};

/** An output folder in memory. */
export interface MemoryFolder extends OutputFolder {
  /** Files in the order of their creation. */
  files(): Map<string, Buffer>;
  /** Bytes of the largest piece that was appended at once. */
  largestPiece(): number;
}

/** Returns an empty output folder that cannot make links. */
export function memoryFolder(): MemoryFolder {
  const pieces = new Map<string, Buffer[]>();
  return {
    async create(name) {
      const list: Buffer[] = [];
      pieces.set(name, list);
      return {
        async append(bytes) {
          list.push(Buffer.from(bytes));
        },
      };
    },
    link: async () => false,
    files: () => new Map([...pieces].map(([name, list]) => [name, Buffer.concat(list)])),
    largestPiece: () => Math.max(...[...pieces.values()].flat().map((piece) => piece.length)),
  };
}
