import { MOST_LOST, NEVER_REACHED } from '../../quantize/judge-ranges.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { littleQuantized } from '../../quantize/why-float.ts';
import { isIntegerScheme } from '../../recipe/recipe.ts';
import type { Reporter } from '../progress.ts';

/**
 * Returns the line that says that a recipe which smooths where it can found nothing to smooth, or
 * undefined when it did, or when no layer would gain by it.
 */
export function smoothingNote({ recipe, smoothing, layers }: QuantizationPlan): string | undefined {
  if (recipe.smoothing !== 'auto' || smoothing !== undefined) return undefined;
  if (!layers.some(({ scheme }) => isIntegerScheme(scheme))) return undefined;
  return (
    `recipe ${recipe.name}: no activation was smoothed: "auto" smooths models of text, and gated ` +
    'FFNs, where the scales fold into a norm or layer before.'
  );
}

/** Layers that a warning names; it counts the others. */
const NAMED = 3;

/** Returns a sentence for each thing about a plan that its user should know and might overlook. */
export function planWarnings(plan: QuantizationPlan): readonly string[] {
  const little = littleQuantized(plan);
  return [...misfits(plan), ...(little === undefined ? [] : [little])];
}

/** Tells a reporter the warnings of a plan but those that an earlier plan had already, and returns them. */
export function warnOfPlan(
  plan: QuantizationPlan,
  reporter: Reporter,
  earlier?: QuantizationPlan,
): readonly string[] {
  const said = earlier === undefined ? [] : planWarnings(earlier);
  const warnings = planWarnings(plan).filter((warning) => !said.includes(warning));
  for (const warning of warnings) reporter.warn(warning);
  return warnings;
}

/** Layers that are not quantized as the recipe wants it because of what calibration saw, by reason. */
function misfits({ layers }: QuantizationPlan): readonly string[] {
  const byReason = new Map<string, PlannedLayer[]>();
  for (const layer of layers) {
    const { reason = '' } = layer;
    if (reason !== NEVER_REACHED && !reason.startsWith(MOST_LOST)) continue;
    byReason.set(reason, [...(byReason.get(reason) ?? []), layer]);
  }
  return [...byReason].map(([reason, [first, ...others]]) => {
    const what =
      first!.scheme === 'w4a16'
        ? 'the weight is rounded to nearest'
        : 'the weight alone is quantized';
    return `${listNames([first!, ...others])}: ${reason}, so ${what}.`;
  });
}

function listNames(layers: readonly PlannedLayer[]): string {
  const names = layers.slice(0, NAMED).map(({ name }) => name);
  const rest = layers.length - names.length;
  return `${names.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Returns the layers that a target leaves float, and why. */
export function excludedLayers(
  { layers }: QuantizationPlan,
  whyFloat: (layer: PlannedLayer) => string | undefined,
): readonly { readonly layer: string; readonly reason: string }[] {
  return layers.flatMap((layer) => {
    const reason = whyFloat(layer);
    return reason === undefined ? [] : [{ layer: layer.name, reason }];
  });
}
