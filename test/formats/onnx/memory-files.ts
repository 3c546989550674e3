import { FormatError } from '../../../src/errors.ts';
import type { ByteSource, ExternalFiles } from '../../../src/formats/onnx/byte-source.ts';

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
