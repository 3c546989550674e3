import { type AffineParameters, type AffineScheme, chooseScale } from '../numerics/affine.ts';
import { type ChosenRange, chooseRange } from './ranges/index.ts';
import { isSilent, type TensorStatistics } from './statistics.ts';

/** A calibrated range with its parameters, scales in float32. */
export interface TensorScale extends ChosenRange, AffineParameters {}

/** The two forms in which runtimes take INT8 activations. */
export interface TensorScales {
  /** Symmetric, zero point 0: TensorRT, Core ML. */
  readonly int8: TensorScale;
  /** Asymmetric: onnxruntime on CPUs. */
  readonly uint8: TensorScale;
}

/** INT8 scales by tensor name. */
export type ScaleTable = ReadonlyMap<string, TensorScales>;

/** The quantizers behind {@link TensorScales}. */
const TABLE_SCHEMES = {
  int8: { dataType: 'int8', symmetric: true },
  uint8: { dataType: 'uint8', symmetric: false },
} as const satisfies Readonly<Record<string, AffineScheme>>;

/**
 * Returns the INT8 scales that the range method named `calibrator` gives each tensor. One that calibration
 * never reached has none: whatever were written would be applied to values that nobody knows.
 */
export function makeScaleTable(
  tensors: ReadonlyMap<string, TensorStatistics>,
  calibrator: string,
): ScaleTable {
  const scaleOf = (statistics: TensorStatistics, scheme: AffineScheme): TensorScale => {
    const chosen = chooseRange(statistics, scheme, calibrator);
    return { ...chosen, ...chooseScale(chosen, scheme) };
  };
  return new Map(
    [...tensors]
      .filter(([, statistics]) => !isSilent(statistics))
      .map(([name, statistics]) => [
        name,
        {
          int8: scaleOf(statistics, TABLE_SCHEMES.int8),
          uint8: scaleOf(statistics, TABLE_SCHEMES.uint8),
        },
      ]),
  );
}
