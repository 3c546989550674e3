import type { Range } from '../../numerics/affine.ts';

/**
 * Returns `calibration.flatbuffers`, the table that onnxruntime's TensorRT execution provider reads
 * (`trt_int8_calibration_table_name`): FlatBuffer `TrtTable { dict: [KeyValue { key: string, value:
 * string }] }`, the value being the decimal text of amax = max(|min|, |max|). The bytes are those of
 * onnxruntime's Python writer, except that it takes max(min, max), which is wrong for ranges such as -10..1.
 */
export function writeOnnxruntimeTable(ranges: ReadonlyMap<string, Range>): Uint8Array {
  // The reference writer prepends to its vector, so the stored order is descending.
  const names = [...ranges.keys()].sort().reverse();
  return layOut(names.map((name) => ({ key: name, value: decimal(absMaxOf(ranges.get(name)!)) })));
}

/**
 * Returns `calibration.json` beside it: amax by tensor name in the form of onnxruntime's encoder, for
 * people and scripts; no runtime reads it.
 */
export function writeOnnxruntimeJson(ranges: ReadonlyMap<string, Range>): string {
  const entries = [...ranges.keys()].sort().map((name) => {
    const amax = absMaxOf(ranges.get(name)!);
    return `${JSON.stringify(name)}: {"lowest": ${-amax}, "highest": ${amax}}`;
  });
  return `{${entries.length > 0 ? `\n${entries.join(',\n')}\n` : ''}}\n`;
}

interface KeyValue {
  readonly key: string;
  readonly value: string;
}

/** Root offset, vtable (6 bytes, padded to 8), root table (8): everything before the vector. */
const VECTOR = 20;
/** A KeyValue: offset of its vtable, offset of the value, offset of the key. */
const TABLE_BYTES = 12;
const VTABLE_BYTES = 8;

/**
 * A FlatBuffer is built from its end, so the first entry lies last. Equal vtables are stored once;
 * the one that stays is the first built, that of the last entry.
 */
function layOut(entries: readonly KeyValue[]): Uint8Array {
  const texts = entries.map(({ key, value }) => [stringBytes(value), stringBytes(key)] as const);
  const tableOf: number[] = [];
  let position = VECTOR + 4 + 4 * entries.length;
  let vtable = 0;
  entries.forEach((_, index) => {
    if (index === entries.length - 1) {
      vtable = position;
      position += VTABLE_BYTES;
    }
    tableOf.push(position);
    position += TABLE_BYTES + texts[index]![0].length + texts[index]![1].length;
  });
  const bytes = new Uint8Array(position);
  const view = new DataView(bytes.buffer);
  writeRoot(view, entries.length);
  if (vtable > 0) view.setBigUint64(vtable, 0x0004_0008_000c_0008n, true);
  entries.forEach((_, index) => {
    const table = tableOf[index]!;
    const value = table + TABLE_BYTES;
    const key = value + texts[index]![0].length;
    view.setUint32(VECTOR + 4 + 4 * index, table - (VECTOR + 4 + 4 * index), true);
    view.setInt32(table, table - vtable, true);
    view.setUint32(table + 4, value - (table + 4), true);
    view.setUint32(table + 8, key - (table + 8), true);
    bytes.set(texts[index]![0], value);
    bytes.set(texts[index]![1], key);
  });
  return bytes;
}

/** The root table has one field, the vector. Its vtable: 6 bytes long, table of 8 bytes, field at 4. */
function writeRoot(view: DataView, entryCount: number): void {
  view.setUint32(0, 12, true);
  view.setUint16(6, 6, true);
  view.setUint16(8, 8, true);
  view.setUint16(10, 4, true);
  view.setInt32(12, 6, true);
  view.setUint32(16, VECTOR - 16, true);
  view.setUint32(VECTOR, entryCount, true);
}

/** Length, UTF-8, a zero byte, and padding to a multiple of four. */
function stringBytes(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  const bytes = new Uint8Array(4 + Math.ceil((encoded.length + 1) / 4) * 4);
  new DataView(bytes.buffer).setUint32(0, encoded.length, true);
  bytes.set(encoded, 4);
  return bytes;
}

function absMaxOf(range: Range): number {
  return Math.fround(Math.max(Math.abs(range.min), Math.abs(range.max)));
}

/** The text of Python's `str(float)`: `.0` after whole numbers, exponents of at least two digits. */
function decimal(value: number): string {
  if (value !== 0 && (value < 1e-4 || value >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
