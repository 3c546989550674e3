import { solveInPlace, triangularFactor } from '../../numerics/inverse-factor.ts';

/** Columns that a product sums over, and what is known of them together. */
export interface ChannelSplit {
  /** Sum of x * transpose(x), `width` x `width`, symmetric, float32. */
  readonly gram: Float32Array;
  readonly width: number;
  readonly kept: readonly number[];
  readonly removed: readonly number[];
  /** The last of the kept, when it is a column of ones: what is folded with it becomes a bias. */
  readonly one?: number | undefined;
}

/**
 * Returns B, `removed` x `kept` row-major, by which the kept channels stand in for the removed ones: the x_P = B x_S
 * of least squares, `B = G_PS inv(G_SS + damping * mean(diag G_SS) * I)`. With a column of ones the moments are about
 * the mean and its own factor is `mean(x_P) - B mean(x_S)`, free of damping (CORP, 2026): a constant channel is
 * made up for exactly. Undefined when the kept channels were never active.
 */
export function standIns(split: ChannelSplit, damping: number): Float32Array | undefined {
  const kept = split.one === undefined ? split.kept : split.kept.slice(0, -1);
  const { removed } = split;
  const size = kept.length;
  const own = pick(split, kept, kept);
  const cross = pick(split, removed, kept);
  if (split.one !== undefined) {
    takeMeans(own, split, kept, kept);
    takeMeans(cross, split, removed, kept);
  }
  let trace = 0;
  for (let index = 0; index < size; index++) trace += own[index * size + index]!;
  if (!(trace > 0)) return undefined;
  const factor = triangularFactor(own, size, (damping * trace) / size);
  if (factor === undefined) return undefined;
  const solved = new Float64Array(size);
  for (let row = 0; row < removed.length; row++) {
    solved.set(cross.subarray(row * size, (row + 1) * size));
    solveInPlace(factor, solved);
    cross.set(solved, row * size);
  }
  return split.one === undefined ? cross : withIntercepts(split, cross);
}

/** Returns the stand-ins by which each removed channel is its mean (FLAP, An et al. 2023). Needs a column of ones. */
export function meanStandIns(split: ChannelSplit): Float32Array {
  const { kept, removed } = split;
  return withIntercepts(split, new Float32Array(removed.length * (kept.length - 1)));
}

/** The mean of a column, as the column of ones weighs its rows. */
function meanOf({ gram, width, one = 0 }: ChannelSplit, column: number): number {
  return gram[one * width + column]! / gram[one * (width + 1)]!;
}

/** Turns moments about zero to moments about the mean. */
function takeMeans(
  moments: Float32Array,
  split: ChannelSplit,
  rows: readonly number[],
  columns: readonly number[],
): void {
  const { gram, width, one = 0 } = split;
  const means = columns.map((column) => meanOf(split, column));
  rows.forEach((row, index) => {
    const sum = gram[one * width + row]!;
    means.forEach((mean, at) => {
      moments[index * columns.length + at]! -= sum * mean;
    });
  });
}

/** Puts the factor of the column of ones behind each row: what the others leave of the mean. */
function withIntercepts(split: ChannelSplit, factors: Float32Array): Float32Array {
  const { kept, removed } = split;
  const size = kept.length - 1;
  const means = kept.slice(0, -1).map((column) => meanOf(split, column));
  const result = new Float32Array(removed.length * kept.length);
  removed.forEach((gone, row) => {
    const own = factors.subarray(row * size, (row + 1) * size);
    const explained = own.reduce((sum, factor, at) => sum + factor * means[at]!, 0);
    result.set(own, row * kept.length);
    result[row * kept.length + size] = meanOf(split, gone) - explained;
  });
  return result;
}

/** Rows and columns of a gram. */
function pick(
  { gram, width }: ChannelSplit,
  rows: readonly number[],
  columns: readonly number[],
): Float32Array {
  const picked = new Float32Array(rows.length * columns.length);
  rows.forEach((row, index) => {
    const start = row * width;
    columns.forEach((column, at) => {
      picked[index * columns.length + at] = gram[start + column]!;
    });
  });
  return picked;
}

/** A weight with one row for each input channel. */
export interface ChannelRows {
  readonly values: Float32Array;
  /** Elements of a row: output features. */
  readonly length: number;
}

/**
 * Returns the error of a product's output, summed over what `gram` saw, when `standIns` (none when undefined) take
 * the place of the removed channels: `trace(W_P' E W_P)` with `E` the second moments of what is left of x_P.
 */
export function outputError(
  split: ChannelSplit,
  rows: ChannelRows,
  standIn: Float32Array | undefined,
): number {
  const { removed } = split;
  const left = Float64Array.from(pick(split, removed, removed));
  if (standIn !== undefined) subtractExplained(split, standIn, left);
  return traceWith(left, rows, removed);
}

/** `E -= B G_SP + G_PS B' - B G_SS B'`, the upper triangle alone: E is symmetric. */
function subtractExplained(split: ChannelSplit, standIn: Float32Array, left: Float64Array): void {
  const { kept, removed } = split;
  const [count, size] = [removed.length, kept.length];
  const cross = pick(split, removed, kept);
  const moved = timesGram(split, standIn);
  for (let index = 0; index < moved.length; index++) moved[index]! -= cross[index]!;
  for (let a = 0; a < count; a++) {
    const own = a * size;
    for (let b = a; b < count; b++) {
      const other = b * size;
      let change = 0;
      for (let index = 0; index < size; index++) {
        change += moved[own + index]! * standIn[other + index]!;
        change -= standIn[own + index]! * cross[other + index]!;
      }
      left[a * count + b]! += change;
    }
  }
}

/** `B * G_SS` */
function timesGram(split: ChannelSplit, standIn: Float32Array): Float64Array {
  const { kept, removed } = split;
  const size = kept.length;
  const own = pick(split, kept, kept);
  const result = new Float64Array(removed.length * size);
  for (let row = 0; row < removed.length; row++) {
    const sum = result.subarray(row * size, (row + 1) * size);
    for (let a = 0; a < size; a++) {
      const scale = standIn[row * size + a]!;
      const start = a * size;
      for (let b = 0; b < size; b++) sum[b]! += scale * own[start + b]!;
    }
  }
  return result;
}

/** `trace(W' E W)` from the upper triangle of E. */
function traceWith(
  left: Float64Array,
  { values, length }: ChannelRows,
  removed: readonly number[],
): number {
  const count = removed.length;
  let trace = 0;
  for (let a = 0; a < count; a++) {
    const first = removed[a]! * length;
    for (let b = a; b < count; b++) {
      const second = removed[b]! * length;
      let dot = 0;
      for (let column = 0; column < length; column++) {
        dot += values[first + column]! * values[second + column]!;
      }
      trace += (a === b ? 1 : 2) * dot * left[a * count + b]!;
    }
  }
  return trace;
}

/** Returns the rows with those of the kept channels taking on the removed ones: `W_S + transpose(B) W_P`. */
export function foldRemoved(
  { kept, removed }: Pick<ChannelSplit, 'kept' | 'removed'>,
  { values, length }: ChannelRows,
  standIn: Float32Array,
): Float32Array {
  const folded = Float32Array.from(values);
  kept.forEach((place, index) => {
    const target = folded.subarray(place * length, (place + 1) * length);
    removed.forEach((gone, row) => {
      const factor = standIn[row * kept.length + index]!;
      const start = gone * length;
      for (let column = 0; column < length; column++) {
        target[column]! += factor * values[start + column]!;
      }
    });
  });
  return folded;
}
