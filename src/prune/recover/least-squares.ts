import { factorCholesky, solveRows } from '../../numerics/cholesky.ts';
import { type Matrix, type MatrixProduct, transpose } from '../../numerics/matrix.ts';
import type { ColumnRows } from '../weight-columns.ts';

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
 * Returns B `[removed, kept]`, by which the kept channels stand in for the removed ones: the x_P = B x_S of least
 * squares, `B = G_PS inv(G_SS + damping * mean(diag G_SS) * I)`, in float64. With a column of ones the moments are
 * about the mean, and its own factor is `mean(x_P) - B mean(x_S)`, free of damping (affine, as in CORP): a constant channel is
 * made up for exactly. Undefined when the kept channels were never active.
 */
export async function standIns(
  split: ChannelSplit,
  damping: number,
  multiply: MatrixProduct,
): Promise<Matrix | undefined> {
  const { removed } = split;
  const kept = split.one === undefined ? split.kept : split.kept.slice(0, -1);
  const own = aboutMeans(split, kept, kept);
  const size = kept.length;
  let trace = 0;
  for (let index = 0; index < size; index++) trace += own.values[index * (size + 1)]!;
  if (!(trace > 0)) return undefined;
  const ridge = (damping * trace) / size;
  for (let index = 0; index < size; index++) own.values[index * (size + 1)]! += ridge;
  const factor = await factorCholesky(own, multiply);
  if (factor === undefined) return undefined;
  const solved = await solveRows(factor, aboutMeans(split, removed, kept), multiply);
  return split.one === undefined ? solved : withIntercepts(split, solved.values);
}

/** Returns stand-ins by which each removed channel is its mean (FLAP, An et al. 2023). Needs a column of ones. */
export function meanStandIns(split: ChannelSplit): Matrix {
  const { kept, removed } = split;
  return withIntercepts(split, new Float64Array(removed.length * (kept.length - 1)));
}

/** The mean of a column, as the column of ones weighs its rows. */
function meanOf({ gram, width, one = 0 }: ChannelSplit, column: number): number {
  return gram[one * width + column]! / gram[one * (width + 1)]!;
}

/** Rows and columns of the moments, about the mean where there is a column of ones. */
function aboutMeans(
  split: ChannelSplit,
  rows: readonly number[],
  columns: readonly number[],
): Matrix {
  const picked = pick(split, rows, columns);
  const { gram, width, one } = split;
  if (one === undefined) return picked;
  const means = columns.map((column) => meanOf(split, column));
  rows.forEach((row, index) => {
    const sum = gram[one * width + row]!;
    means.forEach((mean, at) => {
      picked.values[index * columns.length + at]! -= sum * mean;
    });
  });
  return picked;
}

/** Puts the factor of the column of ones behind each row: what the others leave of the mean. */
function withIntercepts(split: ChannelSplit, factors: Float64Array): Matrix {
  const { kept, removed } = split;
  const size = kept.length - 1;
  const means = kept.slice(0, -1).map((column) => meanOf(split, column));
  const values = new Float64Array(removed.length * kept.length);
  removed.forEach((gone, row) => {
    const own = factors.subarray(row * size, (row + 1) * size);
    const explained = own.reduce((sum, factor, at) => sum + factor * means[at]!, 0);
    values.set(own, row * kept.length);
    values[row * kept.length + size] = meanOf(split, gone) - explained;
  });
  return { rows: removed.length, columns: kept.length, values };
}

/** Rows and columns of a gram. */
function pick(
  { gram, width }: ChannelSplit,
  rows: readonly number[],
  columns: readonly number[],
): Matrix {
  const values = new Float64Array(rows.length * columns.length);
  rows.forEach((row, index) => {
    const start = row * width;
    columns.forEach((column, at) => {
      values[index * columns.length + at] = gram[start + column]!;
    });
  });
  return { rows: rows.length, columns: columns.length, values };
}

/**
 * Returns the error of a product's output, summed over what `gram` saw, when `standIns` (none when undefined) take
 * the place of the removed channels: `trace(W_P' E W_P)` with `E = G_PP - B G_SP - G_PS B' + B G_SS B'` the second
 * moments of what is left of x_P.
 */
export async function outputError(
  split: ChannelSplit,
  rows: ColumnRows,
  standIn: Matrix | undefined,
  multiply: MatrixProduct,
): Promise<number> {
  const { kept, removed } = split;
  const left = pick(split, removed, removed);
  if (standIn !== undefined) {
    // Of E its symmetric part alone counts, so both cross terms may stand on one side.
    const cross = pick(split, removed, kept).values;
    const moved = await multiply(standIn, pick(split, kept, kept));
    for (let index = 0; index < cross.length; index++) moved.values[index]! -= 2 * cross[index]!;
    const change = (await multiply(moved, standIn)).values;
    for (let index = 0; index < change.length; index++) left.values[index]! += change[index]!;
  }
  const weights = rowsOf(rows, removed);
  const weighted = (await multiply(left, transpose(weights))).values;
  return weighted.reduce((sum, value, index) => sum + value * weights.values[index]!, 0);
}

function rowsOf({ values, length }: ColumnRows, places: readonly number[]): Matrix {
  const picked = new Float64Array(places.length * length);
  places.forEach((place, index) => {
    picked.set(values.subarray(place * length, (place + 1) * length), index * length);
  });
  return { rows: places.length, columns: length, values: picked };
}

/** Returns the rows with those of the kept channels taking on the removed ones: `W_S + transpose(B) W_P`. */
export async function foldRemoved(
  { kept, removed }: Pick<ChannelSplit, 'kept' | 'removed'>,
  rows: ColumnRows,
  standIn: Matrix,
  multiply: MatrixProduct,
): Promise<Float32Array> {
  const { length } = rows;
  const added = await multiply(transpose(standIn), transpose(rowsOf(rows, removed)));
  const folded = Float32Array.from(rows.values);
  kept.forEach((place, index) => {
    const target = folded.subarray(place * length, (place + 1) * length);
    const from = index * length;
    for (let column = 0; column < length; column++) target[column]! += added.values[from + column]!;
  });
  return folded;
}
