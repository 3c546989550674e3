/** Reads FlatBuffers that somebody else may have written to do harm: every offset and length is checked. */
import { FormatError } from '../../errors.ts';
import type { TensorSource } from '../../ir/tensor.ts';
import type { ByteSource } from '../bytes.ts';
import { MAIN_TYPES, TABLES, type Table, type TableName } from './schema.ts';

/** Bytes read at a time. */
const PAGE_BYTES = 64 * 1024;
/** Vectors of numbers above this many bytes are not read but become sources. */
const MAX_EAGER_BYTES = 4096;
/** Pages that are kept: tables lie near each other, the layouts that they share at the beginning. */
const MAX_PAGES = 32;
/** The widest number; pages overlap by it. */
const OVERLAP = 8;
/** No name in a graph is longer. */
const MAX_STRING_BYTES = 64 * 1024;
/** The runtime's own verifier ends here. */
const MAX_TABLES = 1_000_000;

const WIDTHS: Readonly<Record<string, number>> = {
  bool: 1,
  int8: 1,
  uint8: 1,
  int32: 4,
  uint32: 4,
  float32: 4,
  int64: 8,
};

const MAIN_NAMES: ReadonlyMap<number, TableName> = new Map(
  Object.entries(MAIN_TYPES).map(([name, number]) => [number, name as TableName]),
);

interface Decoder {
  readonly source: ByteSource;
  /**
   * Bytes that may still be decoded. Offsets may lead many times to one place, so that a small file would
   * unfold without end; an honest one has each byte in one place.
   */
  budget: number;
  tables: number;
  /** By index, the one loaded first first. */
  readonly pages: Map<number, DataView>;
}

/**
 * Returns the `Net` of a file. Long vectors of numbers are {@link TensorSource}s into it; parameters of a kind
 * that is not in the schema table are left out, their op keeps its type. Throws {@link FormatError}, with the
 * position, for every offset, length or number that leads outside, and for a file that unfolds to more than itself.
 */
export function decodeNet(source: ByteSource): Table<'Net'> {
  const decoder: Decoder = {
    source,
    budget: 2 * source.byteLength + 1024,
    tables: 0,
    pages: new Map(),
  };
  if (source.byteLength < 8)
    refuse(decoder, 0, 'the file is too short', source.byteLength, '8 or more bytes');
  return decodeTable(decoder, 'Net', offsetAt(decoder, 0)) as Table<'Net'>;
}

function refuse(
  { source }: Decoder,
  at: number,
  what: string,
  got: number | string,
  expected: string,
): never {
  throw new FormatError(
    `${source.path}: ${what} at byte ${at} (got ${got}, expected ${expected}). The file is damaged or not a .mnn: export it again.`,
    { byteOffset: at },
  );
}

/** Makes sure that `length` bytes at `at` are inside the file and that there is budget for them. */
function spend(decoder: Decoder, at: number, length: number, what: string): void {
  const { byteLength } = decoder.source;
  if (at < 0 || length < 0 || at + length > byteLength) {
    refuse(decoder, at, `${what} passes the end`, `${length} bytes`, `at most ${byteLength - at}`);
  }
  decoder.budget -= length;
  if (decoder.budget < 0) {
    refuse(decoder, at, 'the file unfolds to more than itself', 'shared parts', 'each part once');
  }
}

/** Returns a view in which `length` (at most 8) bytes at `at` lie, and where. Inside the file for sure. */
function look(decoder: Decoder, at: number, length: number): readonly [DataView, number] {
  const { source } = decoder;
  if (at < 0 || at + length > source.byteLength) {
    refuse(decoder, at, 'an offset leads outside', at, `less than ${source.byteLength}`);
  }
  const index = Math.floor(at / PAGE_BYTES);
  return [decoder.pages.get(index) ?? loadPage(decoder, index), at - index * PAGE_BYTES];
}

function loadPage({ source, pages }: Decoder, index: number): DataView {
  const start = index * PAGE_BYTES;
  const bytes = new Uint8Array(Math.min(PAGE_BYTES + OVERLAP, source.byteLength - start));
  source.readSync(bytes, start);
  const view = new DataView(bytes.buffer);
  for (const [oldest] of pages) {
    if (pages.size < MAX_PAGES) break;
    pages.delete(oldest);
  }
  pages.set(index, view);
  return view;
}

function uint16At(decoder: Decoder, at: number): number {
  const [view, position] = look(decoder, at, 2);
  return view.getUint16(position, true);
}

function uint32At(decoder: Decoder, at: number): number {
  const [view, position] = look(decoder, at, 4);
  return view.getUint32(position, true);
}

/** Follows the forward offset at `at`. */
function offsetAt(decoder: Decoder, at: number): number {
  const offset = uint32At(decoder, at);
  const target = at + offset;
  if (offset === 0 || target + 4 > decoder.source.byteLength) {
    refuse(
      decoder,
      at,
      'an offset leads outside',
      offset,
      `up to ${decoder.source.byteLength - at - 4}`,
    );
  }
  return target;
}

function decodeTable(decoder: Decoder, name: TableName, at: number): object {
  decoder.tables += 1;
  if (decoder.tables > MAX_TABLES) {
    refuse(decoder, at, 'there are too many tables', 'more', `at most ${MAX_TABLES}`);
  }
  const [view, position] = look(decoder, at, 4);
  const vtable = at - view.getInt32(position, true);
  const vtableBytes = uint16At(decoder, vtable);
  const tableBytes = uint16At(decoder, vtable + 2);
  if (vtableBytes < 4 || vtableBytes % 2 !== 0) {
    refuse(decoder, vtable, 'a table has no readable layout', vtableBytes, 'an even number from 4');
  }
  if (vtable + vtableBytes > decoder.source.byteLength) {
    refuse(decoder, vtable, 'a layout passes the end', vtableBytes, 'less');
  }
  spend(decoder, at, Math.max(tableBytes, 4), `table ${name}`);
  const slotAt = (slot: number, width: number): number | undefined => {
    const entry = 4 + 2 * slot;
    const inside = entry + 2 <= vtableBytes ? uint16At(decoder, vtable + entry) : 0;
    if (inside === 0) return undefined;
    if (inside < 4 || inside + width > tableBytes) {
      refuse(
        decoder,
        at,
        `field ${slot} of ${name} lies outside its table`,
        inside,
        `4..${tableBytes - width}`,
      );
    }
    return at + inside;
  };
  const table: Record<string, unknown> = {};
  for (const [field, [slot, type]] of Object.entries<readonly [number, string]>(TABLES[name])) {
    const value =
      type === 'main'
        ? mainAt(decoder, slot, slotAt)
        : valueAt(decoder, type, slotAt(slot, WIDTHS[type] ?? 4));
    if (value !== undefined) table[field] = value;
  }
  return table;
}

type SlotAt = (slot: number, width: number) => number | undefined;

function mainAt(decoder: Decoder, slot: number, slotAt: SlotAt): object | undefined {
  const typeAt = slotAt(slot, 1);
  const offset = slotAt(slot + 1, 4);
  const number = typeAt === undefined ? 0 : scalarAt(decoder, 'uint8', typeAt);
  if (number === 0 || offset === undefined) return undefined;
  const kind = MAIN_NAMES.get(number);
  if (kind === undefined) return undefined;
  return { kind, value: decodeTable(decoder, kind, offsetAt(decoder, offset)) };
}

function valueAt(decoder: Decoder, type: string, at: number | undefined): unknown {
  if (at === undefined) return undefined;
  if (type in WIDTHS) {
    const number = scalarAt(decoder, type, at);
    return type === 'bool' ? number !== 0 : number;
  }
  const target = offsetAt(decoder, at);
  if (type === 'string') return stringAt(decoder, target);
  if (type.startsWith('[')) return vectorAt(decoder, type.slice(1, -1), target);
  return decodeTable(decoder, type as TableName, target);
}

function scalarAt(decoder: Decoder, type: string, at: number): number {
  const [view, position] = look(decoder, at, WIDTHS[type] ?? 4);
  switch (type) {
    case 'float32':
      return view.getFloat32(position, true);
    case 'int32':
      return view.getInt32(position, true);
    case 'uint32':
      return view.getUint32(position, true);
    case 'int8':
      return view.getInt8(position);
    case 'int64':
      return safeInteger(decoder, at, view.getBigInt64(position, true));
    default:
      return view.getUint8(position);
  }
}

function safeInteger(decoder: Decoder, at: number, value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    refuse(decoder, at, 'a 64-bit number is too large', String(value), 'a length or position');
  }
  return number;
}

function stringAt(decoder: Decoder, at: number): string {
  const length = uint32At(decoder, at);
  if (length > MAX_STRING_BYTES) {
    refuse(decoder, at, 'a name is too long', length, `at most ${MAX_STRING_BYTES} bytes`);
  }
  spend(decoder, at, 4 + length, 'a name');
  const bytes = new Uint8Array(length);
  decoder.source.readSync(bytes, at + 4);
  return new TextDecoder().decode(bytes);
}

function vectorAt(decoder: Decoder, element: string, at: number): unknown {
  const count = uint32At(decoder, at);
  const width = WIDTHS[element] ?? 4;
  const isNumbers = element === 'int8' || element === 'uint8' || element === 'float32';
  spend(decoder, at, 4 + count * width, `a vector of ${element}`);
  if (isNumbers) return numbersAt(decoder, element, at + 4, count * width);
  return Array.from({ length: count }, (_, index): unknown => {
    const position = at + 4 + index * width;
    if (element in WIDTHS) return scalarAt(decoder, element, position);
    const target = offsetAt(decoder, position);
    if (element === 'string') return stringAt(decoder, target);
    return decodeTable(decoder, element as TableName, target);
  });
}

function numbersAt(
  { source }: Decoder,
  element: string,
  start: number,
  byteLength: number,
): Uint8Array | Float32Array | TensorSource {
  if (byteLength > MAX_EAGER_BYTES) return sliceOf(source, start, byteLength);
  const bytes = new Uint8Array(byteLength);
  source.readSync(bytes, start);
  return element === 'float32' ? new Float32Array(bytes.buffer) : bytes;
}

/** Returns a part of a file, which must be inside it, as a source. */
export function sliceOf(source: ByteSource, start: number, byteLength: number): TensorSource {
  return {
    byteLength,
    slice: { path: source.path, offset: start },
    async read(into, offset) {
      if (offset < 0 || offset + into.length > byteLength) {
        throw new RangeError(
          `read of ${into.length} bytes at ${offset} passes the end (${byteLength})`,
        );
      }
      await source.read(into, start + offset);
    },
  };
}
