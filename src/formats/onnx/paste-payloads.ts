import type { PayloadMarkMessage } from './messages.ts';
import { decodeMessage, MESSAGE_FIELDS, type MessageName, PAYLOAD_MARK_FIELD } from './schema.ts';
import { encodeVarint } from './varint.ts';

/** A stretch of a file: bytes at hand, or the index of a source that is streamed into place. */
type Piece = Uint8Array | { readonly source: number; readonly byteLength: number };

/** The stretches of a message and their total length. */
export interface Pieces {
  readonly pieces: readonly Piece[];
  readonly byteLength: number;
}

/** Messages below which a tensor may lie; all others are taken as they are. */
const HOLDS_TENSORS: ReadonlySet<MessageName> = new Set<MessageName>([
  'ModelProto',
  'GraphProto',
  'NodeProto',
  'AttributeProto',
  'FunctionProto',
  'SparseTensorProto',
  'TensorProto',
]);

/**
 * The reverse of cutting: returns the pieces of a protobuf message in which each PayloadMark of
 * `encoded` became the field it stands for, and all lengths above it count the payload. `encoded`
 * must be well formed, as `encodeMessage` makes it.
 */
export function pastePayloads(message: MessageName, encoded: Uint8Array): Pieces {
  const fields = MESSAGE_FIELDS.get(message);
  const pieces: Piece[] = [];
  let byteLength = 0;
  /** Start of the bytes that are not yet in `pieces`: unchanged neighbours stay one piece. */
  let pending = 0;
  const push = (added: readonly Piece[], length: number): void => {
    for (const piece of added) pieces.push(piece);
    byteLength += length;
  };
  const flush = (end: number): void => {
    if (end > pending) push([encoded.subarray(pending, end)], end - pending);
  };
  let position = 0;
  while (position < encoded.length) {
    const start = position;
    const tag = readVarint(encoded, position);
    const id = Math.floor(tag.value / 8);
    const length = tag.value % 8 === 2 ? readVarint(encoded, tag.next) : undefined;
    position = length === undefined ? skip(encoded, tag) : length.next + length.value;
    if (length === undefined) continue;
    const bytes = encoded.subarray(length.next, position);
    const inner = fields?.get(id)?.message;
    if (inner === 'PayloadMark' && id === PAYLOAD_MARK_FIELD) {
      const mark = decodeMessage<PayloadMarkMessage>('PayloadMark', bytes);
      flush(start);
      const head = concat(encodeVarint(mark.field * 8 + 2), encodeVarint(mark.byteLength));
      push([head], head.length);
      push([{ source: mark.position, byteLength: mark.byteLength }], mark.byteLength);
      pending = position;
    } else if (inner !== undefined && HOLDS_TENSORS.has(inner)) {
      const pasted = pastePayloads(inner, bytes);
      if (pasted.pieces.every((piece) => piece instanceof Uint8Array)) continue;
      flush(start);
      const head = concat(encodeVarint(tag.value), encodeVarint(pasted.byteLength));
      push([head], head.length);
      push(pasted.pieces, pasted.byteLength);
      pending = position;
    }
  }
  flush(encoded.length);
  return { pieces, byteLength };
}

interface Varint {
  readonly value: number;
  readonly next: number;
}

function readVarint(bytes: Uint8Array, start: number): Varint {
  let value = 0;
  for (let index = start; ; index++) {
    const byte = bytes[index] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * (index - start));
    if (byte < 0x80) return { value, next: index + 1 };
  }
}

function skip(bytes: Uint8Array, tag: Varint): number {
  const wireType = tag.value % 8;
  if (wireType === 1) return tag.next + 8;
  if (wireType === 5) return tag.next + 4;
  return readVarint(bytes, tag.next).next;
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
