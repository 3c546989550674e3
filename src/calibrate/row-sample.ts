/**
 * A few rows of a tensor, drawn evenly from all that calibration saw: extremes and histograms cannot say
 * whether large values lie in every row or make up a few. Which rows are kept is decided by their content
 * alone, so any order and any split over shards keeps the same.
 */

/** Rows that are kept at most; a figure of most rows needs no more. */
export const KEPT_ROWS = 8;

const SIGN_BIT = 0x8000_0000;

/** One vector along the last axis. */
export interface SampledRow {
  /** Hash of the values: the rows with the smallest are kept. */
  readonly hash: number;
  /** Largest magnitude in the run that the row was part of. */
  readonly reach: number;
  /** The values as bfloat16: the upper halves of their float32 bits. */
  readonly values: Uint16Array;
}

/** Distinct rows that are finite and not all zero, the smallest hash first. */
export type RowSample = readonly SampledRow[];

/**
 * Returns `sample` with the rows of one run, each of `width` values, row-major. `reach` is the largest
 * finite magnitude among all of them.
 */
export function sampleRows(
  sample: RowSample,
  values: Float32Array,
  width: number,
  reach: number,
): RowSample {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  let kept = sample;
  for (let start = 0; start < bits.length; start += width) {
    const hash = hashRow(bits, start, width);
    if (kept.length === KEPT_ROWS && hash > kept.at(-1)!.hash) continue;
    const row = values.subarray(start, start + width);
    if (!row.every(Number.isFinite) || row.every((value) => value === 0)) continue;
    kept = mergeRows(kept, [{ hash, reach, values: toBfloat16(bits, start, width) }]);
  }
  return kept;
}

/** Returns the rows to keep of both samples: associative and commutative, with [] as identity. */
export function mergeRows(first: RowSample, second: RowSample): RowSample {
  const merged: SampledRow[] = [];
  for (const row of [...first, ...second].sort(compareRows)) {
    const last = merged.at(-1);
    // Of equal rows the one from the run that reached farthest comes first.
    if (last === undefined || compareContent(last, row) !== 0) merged.push(row);
  }
  return merged.slice(0, KEPT_ROWS);
}

/** Returns the values of a row as float32. */
export function rowValues({ values }: SampledRow): Float32Array {
  return new Float32Array(Uint32Array.from(values, (half) => half << 16).buffer);
}

function compareRows(a: SampledRow, b: SampledRow): number {
  return compareContent(a, b) || b.reach - a.reach;
}

function compareContent(a: SampledRow, b: SampledRow): number {
  if (a.hash !== b.hash) return a.hash - b.hash;
  const at = a.values.findIndex((value, index) => value !== b.values[index]);
  return at === -1 ? 0 : a.values[at]! - b.values[at]!;
}

/** FNV-1a over 32-bit words with a final mix (MurmurHash3's), so that close rows are far apart. */
function hashRow(bits: Int32Array, start: number, width: number): number {
  let hash = 0x811c9dc5;
  for (let index = start; index < start + width; index++) {
    const word = bits[index]!;
    // -0 is the same value as 0.
    hash = Math.imul(hash ^ (word === (SIGN_BIT | 0) ? 0 : word), 0x01000193);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function toBfloat16(bits: Int32Array, start: number, width: number): Uint16Array {
  return Uint16Array.from(bits.subarray(start, start + width), (word) =>
    word === (SIGN_BIT | 0) ? 0 : word >>> 16,
  );
}
