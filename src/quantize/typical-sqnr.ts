/** A vector along the last axis of an activation, and the largest magnitude in the run that it was part of. */
export interface SampledVector {
  readonly values: Float32Array;
  readonly reach: number;
}

/**
 * Signal-to-noise ratios in dB. Figures over all values hide what a few of them do to the rest: here rows
 * count one each, and so do channels. NaN where no row, or channel, is anything but zero.
 */
export interface TypicalSqnr {
  readonly medianRow: number;
  readonly medianChannel: number;
}

/** Returns how `rows` (of one width) stand to what integers hold of them, at the median row and channel. */
export function typicalSqnr(
  rows: readonly Float32Array[],
  held: readonly Float32Array[],
): TypicalSqnr {
  const byRow = rows.map(noSums);
  const byChannel = Array.from({ length: rows[0]?.length ?? 0 }, noSums);
  rows.forEach((row, index) => {
    const back = held[index]!;
    row.forEach((value, channel) => {
      for (const sums of [byRow[index]!, byChannel[channel]!]) {
        sums.signal += value ** 2;
        sums.noise += (value - back[channel]!) ** 2;
      }
    });
  });
  return { medianRow: medianSqnr(byRow), medianChannel: medianSqnr(byChannel) };
}

/** Sums of squares of values and of their errors. */
interface SquareSums {
  signal: number;
  noise: number;
}

function noSums(): SquareSums {
  return { signal: 0, noise: 0 };
}

function medianSqnr(sums: readonly SquareSums[]): number {
  const ratios = sums
    .filter(({ signal }) => signal > 0)
    .map(({ signal, noise }) => 10 * Math.log10(signal / noise))
    .sort((a, b) => a - b);
  return ratios[ratios.length >> 1] ?? Number.NaN;
}
