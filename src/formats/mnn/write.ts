import type { TensorSource } from '../../ir/tensor.ts';
import { encodeNet, padded } from './encode-net.ts';
import type { Table } from './schema.ts';

/** Bytes of a weight that are pulled at once: a weight that is turned is read once for each block of it. */
const BLOCK_BYTES = 32 * 1024 * 1024;
/** Bytes of a piece that is given out. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** A graph and the weights that lie in the file beside it, in the order of their bytes. */
export interface MnnModel {
  readonly net: Table<'Net'>;
  /** The ops of `net` say by offset and length where theirs are: one follows the other without gaps. */
  readonly weights: readonly TensorSource[];
}

/** Returns the name of the file of weights: the runtime looks for it beside the graph. */
export function weightFileOf(mnnFile: string): string {
  return `${mnnFile}.weight`;
}

/**
 * Yields the bytes of the graph file. Weights inside it are pulled 32 MiB at a time. Throws what their sources throw, and
 * UnsupportedError past 2 GB.
 */
export async function* graphBytes({ net }: MnnModel): AsyncGenerator<Uint8Array> {
  const { head, tail } = encodeNet(net);
  yield head;
  for (const { count, source } of tail) {
    yield new Uint8Array(Uint32Array.of(count).buffer);
    yield* sourceBytes(source);
    const padding = padded(source.byteLength) - source.byteLength;
    if (padding > 0) yield new Uint8Array(padding);
  }
}

/** Yields the bytes of the file of weights, pulled 32 MiB at a time. */
export async function* weightBytes({ weights }: MnnModel): AsyncGenerator<Uint8Array> {
  for (const source of weights) yield* sourceBytes(source);
}

async function* sourceBytes(source: TensorSource): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.byteLength; at += BLOCK_BYTES) {
    const block = new Uint8Array(Math.min(BLOCK_BYTES, source.byteLength - at));
    await source.read(block, at);
    for (let piece = 0; piece < block.length; piece += PIECE_BYTES) {
      yield block.subarray(piece, piece + PIECE_BYTES);
    }
  }
}
