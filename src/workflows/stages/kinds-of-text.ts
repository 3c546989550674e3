import { oneDomainWarning } from '../../calibrate/calibrate-model.ts';
import type { CalibrationFile } from '../../calibrate/calibration-file.ts';
import type { Model } from '../../ir/model.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { isTokenIds } from '../../structure/input-role.ts';

/**
 * Returns a warning where a model that reads tokens has ranges which a single kind of text, or text of which nobody
 * said the kinds, was calibrated on: they hold on text like it alone. Nothing for plans without calibrated
 * ranges, and for models of other inputs.
 */
export function oneKindWarnings(
  model: Model,
  plan: Pick<QuantizationPlan, 'layers'>,
  calibration: Pick<CalibrationFile, 'data'> | undefined,
): readonly string[] {
  const { domains = [] } = calibration?.data ?? {};
  const hasRanges = plan.layers.some(({ activation }) => activation !== undefined);
  const readsTokens = model.graph.inputs.some(({ name }) => isTokenIds(name));
  if (calibration === undefined || !hasRanges || !readsTokens || domains.length > 1) return [];
  return [
    oneDomainWarning({ domains }) ??
      'calibration data name no domains: other text than they hold may leave the ranges. Name the kinds of text in ' +
        'dataset.yaml, several of them, or use calibration/mixed.',
  ];
}
