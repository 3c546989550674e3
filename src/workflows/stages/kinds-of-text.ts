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
  const [only] = domains;
  return [
    `data: ranges were calibrated on ${only === undefined ? 'text whose kinds nobody named' : `text of one kind, ${only}`}, ` +
      'so they are sure to hold on text like it alone (source code and other languages reach further than prose). ' +
      'Calibrate on several kinds, as calibration/mixed has them, and check on those that the model will meet.',
  ];
}
