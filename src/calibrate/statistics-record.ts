/** How {@link TensorStatistics} are written in JSON: exactly, and the same bits always as the same text. */
import { z } from 'zod';
import { formatExactSum, parseExactSum } from '../numerics/exact-sum.ts';
import { HISTOGRAM_BINS, type Histogram } from '../numerics/histogram.ts';
import { KEPT_ROWS } from './row-sample.ts';
import type { ChannelExtremes, TensorStatistics } from './statistics.ts';

const count = z.int().nonnegative();
const sum = z
  .string()
  .refine((text) => parseExactSum(text) !== undefined, 'not an exact sum such as 0x1f3p-1074');
const floats = z.base64().describe('Little-endian float32 values.');

/** Schema of the statistics of one tensor. */
export const STATISTICS_RECORD = z
  .strictObject({
    sampleCount: count.describe('Samples in which the tensor was seen.'),
    count: count.describe('Finite values.'),
    nanCount: count,
    infinityCount: count,
    min: z.number().nullable().describe('Smallest finite value; null when there is none.'),
    max: z.number().nullable().describe('Largest finite value; null when there is none.'),
    sum: sum.describe('Exact sum, a C99 hexadecimal floating-point literal.'),
    sumSquares: sum.describe('Exact sum of squares.'),
    histogram: z
      .strictObject({
        exponent: z.int().min(-126).max(128).describe('The range is +-2^exponent.'),
        first: z.int().min(0).max(HISTOGRAM_BINS).describe('Index of the first count; 0..4096.'),
        counts: z.array(count).max(HISTOGRAM_BINS).describe('Up to the last that is not zero.'),
      })
      .refine(({ first, counts }) => first + counts.length <= HISTOGRAM_BINS, 'too many counts'),
    channels: z
      .strictObject({ min: floats, max: floats })
      .refine(({ min, max }) => min.length === max.length, 'min and max differ in length')
      .optional()
      .describe('Extremes by index of the last axis.'),
    rows: z
      .array(
        z.strictObject({
          hash: z.int().min(0).max(0xffff_ffff),
          reach: z.number().positive().describe('Largest magnitude in the run of the row.'),
          values: z.base64().describe('Little-endian bfloat16 values.'),
        }),
      )
      .max(KEPT_ROWS)
      .optional()
      .describe('A few rows along the last axis, drawn by a hash of their content.'),
  })
  .refine(({ channels, rows = [] }) => rows.every(({ values }) => isRowOf(channels, values)), {
    error: 'a row has not as many values as there are channels',
    path: ['rows'],
  })
  .refine((record) => total(record.histogram.counts) === record.count, {
    error: 'the histogram does not hold as many values as count says',
    path: ['histogram'],
  })
  .refine((record) => (record.min === null) === (record.count === 0), {
    error: 'min must be null exactly when count is 0',
    path: ['min'],
  })
  .refine((record) => (record.max === null) === (record.count === 0), {
    error: 'max must be null exactly when count is 0',
    path: ['max'],
  });

/** Statistics as JSON. */
export type StatisticsRecord = z.infer<typeof STATISTICS_RECORD>;

/** Returns the JSON form of statistics. */
export function statisticsToRecord(statistics: TensorStatistics): StatisticsRecord {
  const { min, max, histogram, channels, rows } = statistics;
  const first = Math.max(
    histogram.counts.findIndex((value) => value > 0),
    0,
  );
  const end = histogram.counts.findLastIndex((value) => value > 0) + 1;
  return {
    sampleCount: statistics.sampleCount,
    count: statistics.count,
    nanCount: statistics.nanCount,
    infinityCount: statistics.infinityCount,
    min: Number.isFinite(min) ? min : null,
    max: Number.isFinite(max) ? max : null,
    sum: formatExactSum(statistics.sum),
    sumSquares: formatExactSum(statistics.sumSquares),
    histogram: {
      exponent: histogram.exponent,
      first,
      counts: [...histogram.counts.subarray(first, end)],
    },
    ...(channels !== undefined && {
      channels: { min: encodeBytes(channels.min), max: encodeBytes(channels.max) },
    }),
    ...(rows !== undefined && {
      rows: rows.map(({ hash, reach, values }) => ({ hash, reach, values: encodeBytes(values) })),
    }),
  };
}

/** Returns the statistics of a record that {@link STATISTICS_RECORD} has accepted. */
export function statisticsFromRecord(record: StatisticsRecord): TensorStatistics {
  const { channels, histogram, min, max, rows } = record;
  const counts = new Float64Array(HISTOGRAM_BINS);
  counts.set(histogram.counts, histogram.first);
  const decoded: Histogram = { exponent: histogram.exponent, counts };
  const extremes: ChannelExtremes | undefined = channels && {
    min: decodeFloats(channels.min),
    max: decodeFloats(channels.max),
  };
  return {
    sampleCount: record.sampleCount,
    count: record.count,
    nanCount: record.nanCount,
    infinityCount: record.infinityCount,
    min: min ?? Infinity,
    max: max ?? -Infinity,
    sum: parseExactSum(record.sum)!,
    sumSquares: parseExactSum(record.sumSquares)!,
    histogram: decoded,
    ...(extremes !== undefined && { channels: extremes }),
    ...(rows !== undefined && {
      rows: rows.map(({ hash, reach, values }) => ({ hash, reach, values: decodeHalves(values) })),
    }),
  };
}

function total(counts: readonly number[]): number {
  return counts.reduce((whole, part) => whole + part, 0);
}

function isRowOf(channels: { readonly min: string } | undefined, values: string): boolean {
  return channels !== undefined && 2 * byteLength(values) === byteLength(channels.min);
}

function byteLength(text: string): number {
  return Buffer.byteLength(text, 'base64');
}

function encodeBytes({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

function decodeFloats(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  return new Float32Array(Uint8Array.from(bytes).buffer, 0, Math.floor(bytes.length / 4));
}

function decodeHalves(text: string): Uint16Array {
  const bytes = Buffer.from(text, 'base64');
  return new Uint16Array(Uint8Array.from(bytes).buffer, 0, Math.floor(bytes.length / 2));
}
