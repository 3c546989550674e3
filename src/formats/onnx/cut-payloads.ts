import type { ByteSource } from '../bytes.ts';
import { IN_MEMORY_BYTES, LIMITS } from './limits.ts';
import {
  encodeField,
  encodeMessage,
  type FieldShape,
  MESSAGE_FIELDS,
  type MessageName,
  PAYLOAD_FIELDS,
  PAYLOAD_MARK_FIELD,
} from './schema.ts';
import { encodeVarint } from './varint.ts';
import { WireCursor, WireError } from './wire-cursor.ts';

/**
 * Returns the file's ModelProto without large tensor payloads: each is replaced by a PayloadMark
 * that says where it lies. Reads only what it returns. The result is well formed protobuf at every
 * level the schema knows, within {@link LIMITS}. Throws WireError.
 */
export function cutPayloads(file: ByteSource): Uint8Array {
  const walk = { cursor: new WireCursor(file), skeleton: new Skeleton(), messages: 0, items: 0 };
  copyMessage(walk, 'ModelProto', file.byteLength, 0);
  return walk.skeleton.finish();
}

interface Walk {
  readonly cursor: WireCursor;
  readonly skeleton: Skeleton;
  messages: number;
  items: number;
}

function copyMessage(walk: Walk, message: MessageName, end: number, depth: number): void {
  const { cursor } = walk;
  if (depth > LIMITS.nesting) {
    throw new WireError(`messages are nested deeper than ${LIMITS.nesting}`, cursor.position);
  }
  walk.messages += 1;
  if (walk.messages > LIMITS.structureMessages) {
    const limit = LIMITS.structureMessages;
    throw new WireError(`the structure has more than ${limit} messages`, cursor.position);
  }
  const fields = MESSAGE_FIELDS.get(message);
  const inTensor = message === 'TensorProto';
  while (cursor.position < end) {
    const start = cursor.position;
    const tag = cursor.varint(end);
    const id = Math.floor(tag / 8);
    if (tag >= 2 ** 32 || id === 0) throw new WireError(`${message} has no field ${id}`, start);
    countItems(walk, 1, start);
    const field = fields?.get(id);
    const wireType = tag % 8;
    if (wireType !== 2) {
      skipScalar(cursor, wireType, `field ${field?.name ?? id} of ${message}`, start, end);
      copyRange(walk, start, cursor.position);
      continue;
    }
    const byteLength = cursor.varint(end);
    if (byteLength > end - cursor.position) {
      throw new WireError(
        `field ${field?.name ?? id} of ${message} claims ${byteLength} bytes where ${end - cursor.position} are left`,
        start,
      );
    }
    if (inTensor && id === PAYLOAD_MARK_FIELD) {
      throw new WireError(`TensorProto uses field ${id}, which protobuf reserves`, start);
    }
    if (inTensor && isLargePayload(field, byteLength)) markPayload(walk, id, byteLength);
    else if (field?.message !== undefined) {
      walk.skeleton.beginMessage(id);
      copyMessage(walk, field.message, cursor.position + byteLength, depth + 1);
      walk.skeleton.endMessage();
    } else copyLeaf(walk, field, start, byteLength);
  }
}

function skipScalar(
  cursor: WireCursor,
  wireType: number,
  what: string,
  start: number,
  end: number,
): void {
  if (wireType === 0) cursor.varint(end);
  else if (wireType === 1) cursor.position += 8;
  else if (wireType === 5) cursor.position += 4;
  else throw new WireError(`${what} has wire type ${wireType}, which ONNX never uses`, start);
  if (cursor.position > end) throw new WireError(`${what} is cut off`, start);
}

/** Strings, bytes, packed lists, and fields the schema does not know: the same bytes again. */
function copyLeaf(
  walk: Walk,
  field: FieldShape | undefined,
  start: number,
  byteLength: number,
): void {
  const isPackedList = field?.repeated && field.type !== 'string' && field.type !== 'bytes';
  if (isPackedList) countItems(walk, byteLength / packedElementBytes(field.type), start);
  const bytes = copyRange(walk, start, walk.cursor.position + byteLength);
  if (field?.type === 'string' && !isUtf8(bytes.subarray(bytes.length - byteLength))) {
    throw new WireError(`the string ${field.name} is not UTF-8`, start);
  }
}

/**
 * A varint takes up to ten bytes for an element of one byte, so ten times the limit is surely
 * large.
 */
function isLargePayload(field: FieldShape | undefined, byteLength: number): boolean {
  if (field === undefined || !PAYLOAD_FIELDS.has(field.id)) return false;
  const isVarints = field.type !== 'bytes' && packedElementBytes(field.type) === 1;
  return byteLength > (isVarints ? 10 : 1) * IN_MEMORY_BYTES;
}

function packedElementBytes(type: string): number {
  return type === 'double' ? 8 : type === 'float' ? 4 : 1;
}

function copyRange({ cursor, skeleton }: Walk, start: number, end: number): Uint8Array {
  cursor.position = start;
  const into = skeleton.reserve(end - start, start);
  cursor.take(into);
  return into;
}

function markPayload({ cursor, skeleton }: Walk, field: number, byteLength: number): void {
  const mark = { field, position: cursor.position, byteLength };
  const bytes = encodeField(PAYLOAD_MARK_FIELD, encodeMessage('PayloadMark', mark));
  skeleton.reserve(bytes.length, cursor.position).set(bytes);
  cursor.position += byteLength;
}

function countItems(walk: Walk, count: number, position: number): void {
  walk.items += count;
  if (walk.items > LIMITS.structureItems) {
    throw new WireError(`the structure has more than ${LIMITS.structureItems} items`, position);
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

function isUtf8(bytes: Uint8Array): boolean {
  if (bytes.every((byte) => byte < 0x80)) return true;
  try {
    strictUtf8.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/**
 * Growing bytes. Lengths of messages take a fixed five bytes, so nothing moves once it is
 * written.
 */
class Skeleton {
  #bytes = new Uint8Array(64 * 1024);
  #length = 0;
  readonly #open: number[] = [];

  reserve(byteLength: number, position: number): Uint8Array {
    const needed = this.#length + byteLength;
    if (needed > LIMITS.structureBytes) {
      throw new WireError(
        `the structure without tensors is larger than ${LIMITS.structureBytes} bytes`,
        position,
      );
    }
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    const reserved = this.#bytes.subarray(this.#length, needed);
    this.#length = needed;
    return reserved;
  }

  beginMessage(id: number): void {
    const tag = encodeVarint(id * 8 + 2);
    this.reserve(tag.length, 0).set(tag);
    this.reserve(5, 0);
    this.#open.push(this.#length);
  }

  endMessage(): void {
    const start = this.#open.pop() ?? 0;
    putPaddedVarint(this.#bytes.subarray(start - 5, start), this.#length - start);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

function putPaddedVarint(into: Uint8Array, value: number): void {
  for (let index = 0; index < 5; index++) {
    into[index] = ((value >>> (7 * index)) & 0x7f) | (index < 4 ? 0x80 : 0);
  }
}
