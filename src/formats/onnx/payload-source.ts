import { inlineSource, type TensorSource } from '../../ir/tensor.ts';
import type { ByteSource } from '../bytes.ts';
import { IN_MEMORY_BYTES } from './limits.ts';
import { refuse } from './refuse.ts';

/** A stretch of a file that holds a tensor, or a part of one. */
export interface PayloadSlice {
  readonly file: ByteSource;
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Returns the source for a stretch of a file that is already in `raw_data` layout. Small ones are
 * read at once; they keep the slice, so that they can still be referred to.
 */
export function sliceSource({ file, offset, byteLength }: PayloadSlice): TensorSource {
  const key = `${file.path}:${offset}+${byteLength}`;
  const slice = { path: file.path, offset };
  if (byteLength <= IN_MEMORY_BYTES) {
    const bytes = new Uint8Array(byteLength);
    file.readSync(bytes, offset);
    return { ...inlineSource(bytes, key), slice };
  }
  return {
    byteLength,
    key,
    slice,
    async read(into, start) {
      checkRange(start, into.length, byteLength);
      await file.read(into, offset + start);
    },
  };
}

const VARINT_CHUNK_BYTES = 64 * 1024;

/**
 * A packed list of varints (int32_data, int64_data, uint64_data) and the width of an entry in
 * raw_data.
 */
export interface VarintList {
  /** Begins every error message. */
  readonly where: string;
  readonly slice: PayloadSlice;
  readonly entryBytes: number;
  readonly entryCount: number;
}

/**
 * Returns the source that decodes varints when it is read. Reading front to back decodes each
 * entry once; a jump back starts again at the first. Reads reject with a FormatError when the list
 * does not hold exactly `entryCount` varints.
 */
export function varintSource(list: VarintList): TensorSource {
  const { slice, entryBytes, entryCount } = list;
  const byteLength = entryBytes * entryCount;
  let bookmark = { entry: 0, position: 0 };
  return {
    byteLength,
    key: `${slice.file.path}:${slice.offset}+${slice.byteLength}/varint${entryBytes}`,
    async read(into, start) {
      checkRange(start, into.length, byteLength);
      if (into.length === 0) return;
      const first = Math.floor(start / entryBytes);
      const last = Math.ceil((start + into.length) / entryBytes);
      const decoder = new VarintDecoder(list, bookmark.entry <= first ? bookmark : undefined);
      const entry = new Uint8Array(8);
      for (let index = decoder.entry; index < last; index++) {
        await decoder.next(entry);
        if (index < first) continue;
        const skipped = Math.max(0, start - index * entryBytes);
        const at = index * entryBytes + skipped - start;
        into.set(entry.subarray(skipped, Math.min(entryBytes, skipped + into.length - at)), at);
      }
      bookmark = decoder.bookmark();
    },
  };
}

class VarintDecoder {
  entry: number;
  readonly #list: VarintList;
  readonly #chunk = new Uint8Array(VARINT_CHUNK_BYTES);
  #chunkStart: number;
  #chunkLength = 0;
  #index = 0;

  constructor(list: VarintList, bookmark = { entry: 0, position: 0 }) {
    this.#list = list;
    this.entry = bookmark.entry;
    this.#chunkStart = bookmark.position;
  }

  bookmark(): { entry: number; position: number } {
    return { entry: this.entry, position: this.#chunkStart + this.#index };
  }

  /**
   * Puts the next varint, little-endian and sign-extended to 64 bits, into the 8 bytes of `into`.
   */
  async next(into: Uint8Array): Promise<void> {
    let low = 0;
    let high = 0;
    for (let shift = 0; ; shift += 7) {
      if (shift > 63) this.#refuse('holds a number of more than 64 bits');
      if (this.#index === this.#chunkLength) await this.#fill();
      const byte = this.#chunk[this.#index++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift > 28) high |= bits << (shift - 32);
      else if (shift === 28) high |= bits >>> 4;
      if (byte < 0x80) break;
    }
    const view = new DataView(into.buffer, into.byteOffset, 8);
    view.setInt32(0, low, true);
    view.setInt32(4, high, true);
    this.entry += 1;
    const { slice, entryCount } = this.#list;
    if (this.entry === entryCount && this.bookmark().position !== slice.byteLength) {
      this.#refuse(`holds more than the ${entryCount} numbers of its dims`);
    }
  }

  async #fill(): Promise<void> {
    const { slice, entryCount } = this.#list;
    this.#chunkStart += this.#chunkLength;
    this.#chunkLength = Math.min(VARINT_CHUNK_BYTES, slice.byteLength - this.#chunkStart);
    this.#index = 0;
    if (this.#chunkLength <= 0)
      this.#refuse(`holds fewer than the ${entryCount} numbers of its dims`);
    const into = this.#chunk.subarray(0, this.#chunkLength);
    await slice.file.read(into, slice.offset + this.#chunkStart);
  }

  #refuse(what: string): never {
    const { where, slice } = this.#list;
    refuse(where, what, 'Export the model again.', { byteOffset: slice.offset });
  }
}

function checkRange(offset: number, length: number, byteLength: number): void {
  if (offset < 0 || offset + length > byteLength) {
    throw new RangeError(`read of ${length} bytes at ${offset} passes the end (${byteLength})`);
  }
}
