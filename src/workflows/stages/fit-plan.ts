import type { Model } from '../../ir/model.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import type { Target, TargetWriter } from '../../targets/target.ts';
import type { Reporter } from '../progress.ts';

/** Returns the plan as a target can hold it; a warning names the layers that are not as planned. */
export async function fitPlan(
  { id, writer }: Pick<Target, 'id'> & { readonly writer: TargetWriter },
  source: { readonly model: Model; readonly plan: QuantizationPlan },
  kernel: WeightKernel,
  reporter: Reporter,
): Promise<QuantizationPlan> {
  const { model, plan } = source;
  if (writer.fit === undefined) return plan;
  const fitted = await writer.fit(model, plan, kernel);
  const before = new Map(plan.layers.map(({ name, scheme }) => [name, scheme]));
  const taken = fitted.layers.filter(({ name, scheme }) => scheme !== before.get(name));
  if (taken.length > 0) {
    const named = taken
      .slice(0, 3)
      .map(({ name, scheme, reason }) => `${name} (${scheme}: ${reason})`);
    const others = taken.length > named.length ? ` and ${taken.length - named.length} more` : '';
    reporter.warn(
      `${id}: it cannot hold ${taken.length} of ${plan.layers.length} layers as planned: ` +
        `${named.join(', ')}${others}.`,
    );
  }
  return fitted;
}
