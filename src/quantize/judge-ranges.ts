import { chooseScale, type Range } from '../numerics/affine.ts';
import { throughPlane, throughPlanes } from '../numerics/planes.ts';
import type { ActivationRange, ActivationRanges } from './quantization-plan.ts';
import { type SampledVector, type TypicalSqnr, typicalSqnr } from './typical-sqnr.ts';

/** What calibration kept of an activation, as far as it says whether integers can stand for it. */
export interface SeenActivation {
  /** Largest magnitude; 0 when there was no value, or none to speak of. */
  readonly reach: number;
  /** A few vectors along the last axis. */
  readonly rows?: readonly SampledVector[] | undefined;
}

/** Reason of a layer whose input calibration has never seen, or has seen as zeros alone. */
export const NEVER_REACHED = 'calibration never reached it';

/** Begins the reason of a layer in whose input a few huge values leave no codes for the rest. */
export const MOST_LOST = 'INT8 would lose most';

/**
 * Below these an activation is not worth its codes. The fixtures, MiniLM and SmolLM2-135M have 19 dB and more
 * in the median row, 14 dB and more in the median channel. Down projections of SmolLM2 that are not smoothed
 * have 0.3 dB in the median row, power spectra of speech 0 dB in the median channel.
 */
const LEAST_ROW_DB = 10;
const LEAST_CHANNEL_DB = 5;

/**
 * Returns calibrated `ranges` with those marked whose integers cannot stand for the activation: calibration
 * has not reached it, or a few huge values leave next to no codes for most rows or channels. `scales` has the
 * divisors of smoothed activations, one a channel.
 */
export function judgeRanges(
  ranges: ActivationRanges,
  seen: ReadonlyMap<string, SeenActivation>,
  scales: ReadonlyMap<string, Float32Array>,
  symmetric: boolean,
): ActivationRanges {
  return new Map(
    [...ranges].map(([name, range]): [string, ActivationRange] => {
      const activation = seen.get(name);
      if (activation === undefined) return [name, range];
      if (activation.reach === 0) {
        return [name, { ...range, unfit: NEVER_REACHED, unfitInPlanes: NEVER_REACHED }];
      }
      return [name, { ...range, ...whatIsLost(range, activation, scales.get(name), symmetric) }];
    }),
  );
}

function whatIsLost(
  range: ActivationRange,
  { reach, rows = [] }: SeenActivation,
  scales: Float32Array | undefined,
  symmetric: boolean,
): Pick<ActivationRange, 'unfit' | 'unfitInPlanes' | 'unfitInRun'> {
  const vectors = rows.map(({ values }) => divide(values, scales));
  const planeOf = (of: Range) => chooseScale(of, { dataType: 'uint8', symmetric });
  const whole = planeOf(range);
  const inRun = rows.map((row, index) => {
    const vector = vectors[index]!;
    return throughPlane(vector, planeOf(rangeInRun(range, row.reach / reach, vector)));
  });
  const reasonIn = (held: readonly Float32Array[]) => reasonOf(typicalSqnr(vectors, held));
  const unfit = reasonIn(vectors.map((vector) => throughPlane(vector, whole)));
  const unfitInPlanes = unfit && reasonIn(vectors.map((vector) => throughPlanes(vector, whole)));
  const unfitInRun = reasonIn(inRun);
  return {
    ...(unfit && { unfit }),
    ...(unfitInPlanes && { unfitInPlanes }),
    ...(unfitInRun && { unfitInRun }),
  };
}

/** The range of a run that reached a `share` of the whole, and holds its own rows in any case. */
function rangeInRun({ min, max }: Range, share: number, row: Float32Array): Range {
  return {
    min: row.reduce((least, value) => Math.min(least, value), min * share),
    max: row.reduce((most, value) => Math.max(most, value), max * share),
  };
}

function divide(values: Float32Array, scales: Float32Array | undefined): Float32Array {
  return scales === undefined ? values : values.map((value, index) => value / scales[index]!);
}

function reasonOf({ medianRow, medianChannel }: TypicalSqnr): string | undefined {
  const lost = (what: string, decibels: number): string =>
    `${MOST_LOST} ${what} of its input (${Math.max(Math.round(decibels), 0)} dB)`;
  if (medianRow < LEAST_ROW_DB) return lost('rows', medianRow);
  return medianChannel < LEAST_CHANNEL_DB ? lost('channels', medianChannel) : undefined;
}
