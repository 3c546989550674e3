import { UnsupportedError } from '../../errors.ts';
import type { TensorSource } from '../../ir/tensor.ts';
import {
  type LazyBytes,
  MAIN_TYPES,
  type Main,
  SCALAR_BYTES,
  type ScalarName,
  TABLES,
  type Table,
  type TableName,
} from './schema.ts';

/** FlatBuffers are addressed by signed 32-bit numbers. */
const MAX_BYTES = 2 ** 31 - 1;

const utf8 = new TextEncoder();

/** A net as bytes: what was made at once, then vectors whose bytes are pulled one after the other. */
export interface EncodedNet {
  readonly byteLength: number;
  readonly head: Uint8Array;
  /** Each begins right behind the one before, with zeros up to a multiple of 4. */
  readonly tail: readonly { readonly count: number; readonly source: TensorSource }[];
}

/** A growing buffer. Children lie behind their parents, because offsets in FlatBuffers point forward. */
interface Encoder {
  bytes: Uint8Array;
  view: DataView;
  length: number;
  /** Positions of vtables by their content: ops of one type share theirs. */
  readonly vtables: Map<string, number>;
  readonly lazy: { readonly patchAt: number; readonly count: number; source: TensorSource }[];
}

/**
 * Returns a `Net` as a FlatBuffer. Vectors that are {@link TensorSource}s stand at its end and are not read.
 * Throws {@link UnsupportedError} when the file would pass 2 GB.
 */
export function encodeNet(net: Table<'Net'>): EncodedNet {
  const bytes = new Uint8Array(64 * 1024);
  const encoder: Encoder = {
    bytes,
    view: new DataView(bytes.buffer),
    length: 0,
    vtables: new Map(),
    lazy: [],
  };
  reserve(encoder, 4);
  putTable(encoder, 'Net', net, 0);
  align(encoder, 4);
  const headBytes = encoder.length;
  let at = headBytes;
  for (const { patchAt, count, source } of encoder.lazy) {
    encoder.view.setUint32(patchAt, at - patchAt, true);
    requireFits(at + source.byteLength);
    at += 4 + padded(source.byteLength);
    if (count * 4 !== source.byteLength && count !== source.byteLength) {
      throw new RangeError(`vector of ${count} elements has ${source.byteLength} bytes`);
    }
  }
  requireFits(at);
  return { byteLength: at, head: encoder.bytes.slice(0, headBytes), tail: encoder.lazy };
}

/** Returns the length rounded up to a multiple of 4. */
export function padded(byteLength: number): number {
  return Math.ceil(byteLength / 4) * 4;
}

function requireFits(byteLength: number): void {
  if (byteLength <= MAX_BYTES) return;
  throw new UnsupportedError(
    `mnn: the graph file would pass 2 GB (got ${byteLength} bytes, expected at most ${MAX_BYTES}), ` +
      'which no FlatBuffer can. Write float32 weights, which lie outside it, or split the model.',
  );
}

function reserve(encoder: Encoder, count: number): number {
  const at = encoder.length;
  const needed = at + count;
  requireFits(needed);
  if (needed > encoder.bytes.length) {
    const grown = new Uint8Array(Math.max(needed, encoder.bytes.length * 2));
    grown.set(encoder.bytes);
    encoder.bytes = grown;
    encoder.view = new DataView(grown.buffer);
  }
  encoder.length = needed;
  return at;
}

function align(encoder: Encoder, size: number, extra = 0): void {
  const over = (encoder.length + extra) % size;
  if (over !== 0) reserve(encoder, size - over);
}

interface PlacedField {
  readonly slot: number;
  readonly type: string;
  readonly value: unknown;
  readonly bytes: number;
}

function fieldsOf(name: TableName, table: object): readonly PlacedField[] {
  const schema: Readonly<Record<string, readonly [number, string]>> = TABLES[name];
  const fields: PlacedField[] = [];
  for (const [field, value] of Object.entries(table)) {
    if (value === undefined) continue;
    const [slot, type] = schema[field] ?? unknownField(name, field);
    if (type === 'main') {
      const { kind } = value as Main;
      fields.push({ slot, type: 'uint8', value: MAIN_TYPES[kind], bytes: 1 });
      fields.push({ slot: slot + 1, type, value, bytes: 4 });
    } else {
      fields.push({ slot, type, value, bytes: type in SCALAR_BYTES ? scalarBytes(type) : 4 });
    }
  }
  // The widest first, so that all are aligned without gaps.
  return fields.sort((a, b) => b.bytes - a.bytes || a.slot - b.slot);
}

function unknownField(name: TableName, field: string): never {
  throw new RangeError(`${name} has no field ${field}`);
}

function scalarBytes(type: string): number {
  return SCALAR_BYTES[type as ScalarName];
}

/** Writes a table and its children; patches the offset at `patchAt` to it. */
function putTable(encoder: Encoder, name: TableName, table: object, patchAt: number): void {
  const fields = fieldsOf(name, table);
  let inline = 4;
  const positions = fields.map(({ bytes }) => {
    inline += bytes;
    return inline - bytes;
  });
  const vtable = putVtable(encoder, fields, positions, inline);
  align(encoder, 4);
  const at = reserve(encoder, inline);
  encoder.view.setUint32(patchAt, at - patchAt, true);
  encoder.view.setInt32(at, at - vtable, true);
  fields.forEach((field, index) => {
    const position = at + positions[index]!;
    if (field.type in SCALAR_BYTES) putScalar(encoder, position, field.type, field.value);
  });
  fields.forEach((field, index) => {
    const position = at + positions[index]!;
    if (!(field.type in SCALAR_BYTES)) putChild(encoder, position, field.type, field.value);
  });
}

function putVtable(
  encoder: Encoder,
  fields: readonly PlacedField[],
  positions: readonly number[],
  inline: number,
): number {
  const slots = Math.max(-1, ...fields.map(({ slot }) => slot)) + 1;
  const entries = new Array<number>(slots).fill(0);
  fields.forEach(({ slot }, index) => {
    entries[slot] = positions[index]!;
  });
  const key = `${inline}:${entries.join()}`;
  const known = encoder.vtables.get(key);
  if (known !== undefined) return known;
  align(encoder, 2);
  const at = reserve(encoder, 4 + 2 * slots);
  encoder.view.setUint16(at, 4 + 2 * slots, true);
  encoder.view.setUint16(at + 2, inline, true);
  entries.forEach((entry, slot) => {
    encoder.view.setUint16(at + 4 + 2 * slot, entry, true);
  });
  encoder.vtables.set(key, at);
  return at;
}

function putScalar({ view }: Encoder, at: number, type: string, value: unknown): void {
  const number = Number(value);
  if (type === 'float32') view.setFloat32(at, number, true);
  else if (type === 'int32') view.setInt32(at, requireInteger(number, -(2 ** 31), 2 ** 31), true);
  else if (type === 'uint32') view.setUint32(at, requireInteger(number, 0, 2 ** 32), true);
  else if (type === 'int8') view.setInt8(at, requireInteger(number, -128, 128));
  else view.setUint8(at, requireInteger(number, 0, 256));
}

/** A number that does not fit would be cut off silently, and the file would mean something else. */
function requireInteger(value: number, least: number, end: number): number {
  if (Number.isInteger(value) && value >= least && value < end) return value;
  throw new UnsupportedError(
    `mnn: a number does not fit its field (got ${value}, expected an integer in [${least}, ${end})). ` +
      'MNN has no 64-bit integers: change the model.',
  );
}

function putChild(encoder: Encoder, patchAt: number, type: string, value: unknown): void {
  if (type === 'main') {
    const main = value as Main;
    putTable(encoder, main.kind, main.value, patchAt);
  } else if (type === 'string') {
    putString(encoder, value as string, patchAt);
  } else if (type.startsWith('[')) {
    putVector(encoder, type.slice(1, -1), value, patchAt);
  } else {
    putTable(encoder, type as TableName, value as object, patchAt);
  }
}

function putString(encoder: Encoder, text: string, patchAt: number): void {
  const bytes = utf8.encode(text);
  align(encoder, 4);
  const at = reserve(encoder, 4 + bytes.length + 1);
  encoder.view.setUint32(patchAt, at - patchAt, true);
  encoder.view.setUint32(at, bytes.length, true);
  encoder.bytes.set(bytes, at + 4);
}

function putVector(encoder: Encoder, element: string, value: unknown, patchAt: number): void {
  if (element === 'int8' || element === 'uint8' || element === 'float32') {
    putBytes(encoder, element, value as LazyBytes | Float32Array, patchAt);
    return;
  }
  const items = value as readonly unknown[];
  const width = element in SCALAR_BYTES ? scalarBytes(element) : 4;
  align(encoder, 4);
  align(encoder, width, 4);
  const at = reserve(encoder, 4 + items.length * width);
  encoder.view.setUint32(patchAt, at - patchAt, true);
  encoder.view.setUint32(at, items.length, true);
  items.forEach((item, index) => {
    const position = at + 4 + index * width;
    if (element === 'int64') encoder.view.setBigInt64(position, BigInt(item as number), true);
    else if (element in SCALAR_BYTES) putScalar(encoder, position, element, item);
    else if (element === 'string') putString(encoder, item as string, position);
    else putTable(encoder, element as TableName, item as object, position);
  });
}

function putBytes(
  encoder: Encoder,
  element: 'int8' | 'uint8' | 'float32',
  value: LazyBytes | Float32Array,
  patchAt: number,
): void {
  const width = scalarBytes(element);
  const count = value.byteLength / width;
  if ('read' in value) {
    encoder.lazy.push({ patchAt, count, source: value });
    return;
  }
  align(encoder, 4);
  const at = reserve(encoder, 4 + value.byteLength);
  encoder.view.setUint32(patchAt, at - patchAt, true);
  encoder.view.setUint32(at, count, true);
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  encoder.bytes.set(bytes, at + 4);
}
