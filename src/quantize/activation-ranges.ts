import type { CalibrationFile } from '../calibrate/calibration-file.ts';
import { chooseRange } from '../calibrate/ranges/index.ts';
import type { Recipe } from '../recipe/recipe.ts';
import type { ActivationRange, ActivationRanges } from './quantization-plan.ts';

/**
 * Returns the range of every calibrated tensor as the activations of a recipe want it; those named in `whole` keep
 * all that was seen.
 */
export function rangesOf(
  calibration: CalibrationFile,
  activations: Recipe['activations'],
  whole: ReadonlySet<string> = new Set(),
): ActivationRanges {
  const scheme = { dataType: 'uint8', symmetric: activations.symmetric } as const;
  return new Map(
    [...calibration.tensors].map(([name, statistics]): [string, ActivationRange] => {
      const calibrator = whole.has(name) ? 'minmax' : activations.calibrator;
      const { min, max, method } = chooseRange(statistics, scheme, calibrator);
      return [name, { min, max, calibrator: method as ActivationRange['calibrator'] }];
    }),
  );
}
