import { type QuantileSketch, sketchQuantile } from '../numerics/quantile-sketch.ts';
import type { LanguageModelAccuracy } from './check-result.ts';

/** Returns the mean, the 99.9th percentile and the worst of KL divergences; null where not finite. */
export function klFigures(
  mean: number,
  sketch: QuantileSketch,
): Pick<LanguageModelAccuracy, 'klNats' | 'klP999Nats' | 'klWorstNats'> {
  return {
    klNats: finiteOrNull(mean),
    klP999Nats: finiteOrNull(sketchQuantile(sketch, 0.999)),
    klWorstNats: finiteOrNull(sketch.max),
  };
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
