import type { CalibrationFile } from '../calibrate/calibration-file.ts';
import { chooseRange } from '../calibrate/ranges/index.ts';
import type { Recipe } from '../recipe/recipe.ts';
import type { ActivationRange, ActivationRanges } from './quantization-plan.ts';

/** Returns the range of every calibrated tensor as the activations of a recipe want it. */
export function rangesOf(
  calibration: CalibrationFile,
  activations: Recipe['activations'],
): ActivationRanges {
  const scheme = { dataType: 'uint8', symmetric: activations.symmetric } as const;
  return new Map(
    [...calibration.tensors].map(([name, statistics]): [string, ActivationRange] => {
      const { min, max, method } = chooseRange(statistics, scheme, activations.calibrator);
      return [name, { min, max, calibrator: method as ActivationRange['calibrator'] }];
    }),
  );
}
