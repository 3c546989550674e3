/**
 * What calibration remembers of a tensor. Every field is a function of the set of samples, so any
 * order, any split over shards and any grouping of merges give the same bits: counts are integers,
 * extremes are extremes, histograms grow by doubling, and sums are kept exactly.
 */
import { EMPTY_SUM, type ExactSum, exactFrom } from '../numerics/exact-sum.ts';
import {
  addToHistogram,
  emptyHistogram,
  type Histogram,
  mergeHistograms,
} from '../numerics/histogram.ts';
import { mergeRows, type RowSample, sampleRows } from './row-sample.ts';

/** Statistics of one activation tensor over samples. NaN and infinities are counted and otherwise left out. */
export interface TensorStatistics {
  /** Samples observed: calls of {@link observe}. */
  readonly sampleCount: number;
  /** Finite values. */
  readonly count: number;
  readonly nanCount: number;
  readonly infinityCount: number;
  /** Smallest finite value; Infinity when there is none. */
  readonly min: number;
  /** Largest finite value; -Infinity when there is none. */
  readonly max: number;
  /** Exact sum over samples of the float64 sum of each. */
  readonly sum: ExactSum;
  /** The same of squares. */
  readonly sumSquares: ExactSum;
  /** Of all finite values. */
  readonly histogram: Histogram;
  /** Extremes of each index of the last axis, where they were asked for. */
  readonly channels?: ChannelExtremes;
  /** A few rows along the last axis, where channels are kept; absent in files of older versions. */
  readonly rows?: RowSample;
}

/** Finite extremes by channel; Infinity and -Infinity in a channel without finite values. */
export interface ChannelExtremes {
  readonly min: Float32Array;
  readonly max: Float32Array;
}

/** Returns the statistics of no samples, with extremes of `channelCount` channels when it is given. */
export function emptyStatistics(channelCount?: number): TensorStatistics {
  return {
    sampleCount: 0,
    count: 0,
    nanCount: 0,
    infinityCount: 0,
    min: Infinity,
    max: -Infinity,
    sum: EMPTY_SUM,
    sumSquares: EMPTY_SUM,
    histogram: emptyHistogram(),
    ...(channelCount !== undefined && {
      channels: {
        min: new Float32Array(channelCount).fill(Infinity),
        max: new Float32Array(channelCount).fill(-Infinity),
      },
      rows: [],
    }),
  };
}

/**
 * Returns `statistics` with one more sample: all values of the tensor in one run, row-major. A call
 * is a sample, so a tensor must not be handed over in parts. Throws RangeError when channels are
 * kept and `values` are not whole rows of them.
 */
export function observe(statistics: TensorStatistics, values: Float32Array): TensorStatistics {
  const { channels, rows } = statistics;
  const finite = sumUp(values);
  // Only NaN and infinity can make a float64 sum of float32 values anything but finite.
  const usable = Number.isFinite(finite.sum) ? values : values.filter(Number.isFinite);
  const summary = usable === values ? finite : sumUp(usable);
  const nanCount = usable === values ? 0 : countNaN(values);
  const absMax = usable.length === 0 ? 0 : Math.max(summary.max, -summary.min);
  return {
    sampleCount: statistics.sampleCount + 1,
    count: statistics.count + usable.length,
    nanCount: statistics.nanCount + nanCount,
    infinityCount: statistics.infinityCount + values.length - usable.length - nanCount,
    min: lesser(statistics.min, summary.min),
    max: greater(statistics.max, summary.max),
    sum: statistics.sum + exactFrom(summary.sum),
    sumSquares: statistics.sumSquares + exactFrom(summary.sumSquares),
    histogram: addToHistogram(statistics.histogram, usable, absMax),
    ...(channels !== undefined && { channels: observeChannels(channels, values) }),
    ...(rows !== undefined && { rows: sampleRows(rows, values, channels!.min.length, absMax) }),
  };
}

/**
 * Returns the statistics of the samples of both: associative, commutative, with
 * {@link emptyStatistics} as identity. Throws RangeError when channel counts differ.
 */
export function mergeStatistics(
  first: TensorStatistics,
  second: TensorStatistics,
): TensorStatistics {
  const { channels, rows } = isEmpty(first)
    ? second
    : isEmpty(second)
      ? first
      : mergeKept(first, second);
  return {
    sampleCount: first.sampleCount + second.sampleCount,
    count: first.count + second.count,
    nanCount: first.nanCount + second.nanCount,
    infinityCount: first.infinityCount + second.infinityCount,
    min: lesser(first.min, second.min),
    max: greater(first.max, second.max),
    sum: first.sum + second.sum,
    sumSquares: first.sumSquares + second.sumSquares,
    histogram: mergeHistograms(first.histogram, second.histogram),
    ...(channels !== undefined && { channels }),
    ...(rows !== undefined && { rows }),
  };
}

/** What is kept by channel: absent where one of the two does not know it. */
function mergeKept(
  first: TensorStatistics,
  second: TensorStatistics,
): Pick<TensorStatistics, 'channels' | 'rows'> {
  const channels = mergeChannels(first.channels, second.channels);
  const rows = first.rows && second.rows && mergeRows(first.rows, second.rows);
  return {
    ...(channels !== undefined && { channels }),
    ...(rows !== undefined && { rows }),
  };
}

/** A branch of If that was not taken gives no values, and does not say how many channels they have. */
function isEmpty(statistics: TensorStatistics): boolean {
  const { sampleCount, count, nanCount, infinityCount, channels } = statistics;
  return sampleCount > 0 && channels === undefined && count + nanCount + infinityCount === 0;
}

/** Below this the 255 steps of 8 bits would be no normal float32 numbers. */
const SILENT = 2 ** -118;

/** Says whether calibration saw no value of a tensor, or nothing but zeros: that is no range to go by. */
export function isSilent({ count, min, max }: TensorStatistics): boolean {
  return count === 0 || Math.max(-min, max) < SILENT;
}

interface Summary {
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly sumSquares: number;
}

/** Four running sums, because one would make every addition wait for the one before. */
function sumUp(values: Float32Array): Summary {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let sumSquares = 0;
  let otherSum = 0;
  let otherSquares = 0;
  const paired = values.length - (values.length % 2);
  for (let index = 0; index < paired; index += 2) {
    const value = values[index]!;
    const other = values[index + 1]!;
    if (value < min) min = value;
    if (value > max) max = value;
    if (other < min) min = other;
    if (other > max) max = other;
    sum += value;
    otherSum += other;
    sumSquares += value * value;
    otherSquares += other * other;
  }
  if (paired < values.length) {
    const last = values[paired]!;
    min = lesser(min, last);
    max = greater(max, last);
    sum += last;
    sumSquares += last * last;
  }
  return { min, max, sum: sum + otherSum, sumSquares: sumSquares + otherSquares };
}

/** Adding zero turns -0 into 0: which of the two came first must not show. */
function lesser(first: number, second: number): number {
  return Math.min(first, second) + 0;
}

function greater(first: number, second: number): number {
  return Math.max(first, second) + 0;
}

function countNaN(values: Float32Array): number {
  let count = 0;
  for (const value of values) if (Number.isNaN(value)) count++;
  return count;
}

function observeChannels(channels: ChannelExtremes, values: Float32Array): ChannelExtremes {
  const min = channels.min.slice();
  const max = channels.max.slice();
  const channelCount = min.length;
  if (values.length % channelCount !== 0) {
    throw new RangeError(
      `statistics: not whole rows (got ${values.length} values of ${channelCount} channels)`,
    );
  }
  for (let start = 0; start < values.length; start += channelCount) {
    for (let channel = 0; channel < channelCount; channel++) {
      const value = values[start + channel]!;
      if (value < min[channel]! && value !== -Infinity) min[channel] = value + 0;
      if (value > max[channel]! && value !== Infinity) max[channel] = value + 0;
    }
  }
  return { min, max };
}

function mergeChannels(
  first: ChannelExtremes | undefined,
  second: ChannelExtremes | undefined,
): ChannelExtremes | undefined {
  if (first === undefined && second === undefined) return undefined;
  if (first?.min.length !== second?.min.length) {
    throw new RangeError(
      `statistics: channel counts differ (got ${first?.min.length} and ${second?.min.length})`,
    );
  }
  return {
    min: first!.min.map((value, channel) => lesser(value, second!.min[channel]!)),
    max: first!.max.map((value, channel) => greater(value, second!.max[channel]!)),
  };
}
