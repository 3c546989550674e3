import type { ByteSource } from '../bytes.ts';

const WINDOW_BYTES = 32 * 1024;

/** What is wrong with the wire format at a byte of the file. Readers turn it into a FormatError. */
export class WireError extends Error {
  readonly byteOffset: number;

  constructor(message: string, byteOffset: number) {
    super(message);
    this.byteOffset = byteOffset;
  }
}

/** Walks a file through a small window, so that skipping a payload reads none of it. */
export class WireCursor {
  position = 0;
  readonly #file: ByteSource;
  readonly #window = new Uint8Array(WINDOW_BYTES);
  #windowStart = 0;
  #windowEnd = 0;

  constructor(file: ByteSource) {
    this.#file = file;
  }

  /**
   * Returns the varint at the position, at most `end` bytes into the file, and moves behind it.
   * Values past 2^53 come out rounded: as lengths they are refused anyway, and scalars are copied,
   * not read. Throws WireError when the varint has no end.
   */
  varint(end: number): number {
    const start = this.position;
    let value = 0;
    for (let count = 0; count < 10; count++) {
      if (this.position >= end) {
        throw new WireError('a number is cut off at the end of its message', start);
      }
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) return value;
    }
    throw new WireError('a number has more than the 10 bytes that 64 bits take', start);
  }

  /** Fills `into` from the position on, and moves behind it. */
  take(into: Uint8Array): void {
    const start = this.position - this.#windowStart;
    if (start >= 0 && this.position + into.length <= this.#windowEnd) {
      into.set(this.#window.subarray(start, start + into.length));
    } else {
      this.#file.readSync(into, this.position);
    }
    this.position += into.length;
  }

  #byte(): number {
    if (this.position < this.#windowStart || this.position >= this.#windowEnd) {
      const length = Math.min(WINDOW_BYTES, this.#file.byteLength - this.position);
      this.#file.readSync(this.#window.subarray(0, length), this.position);
      this.#windowStart = this.position;
      this.#windowEnd = this.position + length;
    }
    const byte = this.#window[this.position - this.#windowStart];
    this.position += 1;
    return byte ?? 0;
  }
}
