import type { Model } from '../../ir/model.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { TENSORRT_LOWERING } from '../../targets/onnx/lowering.ts';
import { withoutInexactScales } from '../../targets/tensorrt/float16-scales.ts';
import type { Reporter } from '../progress.ts';

/** Returns the plan as TensorRT can hold its scales; a warning names the layers that stay float for it. */
export async function withExactScales(
  model: Model,
  plan: QuantizationPlan,
  kernel: WeightKernel,
  reporter: Reporter,
): Promise<QuantizationPlan> {
  const held = await withoutInexactScales(model, plan, TENSORRT_LOWERING, kernel);
  const before = new Map(plan.layers.map(({ name, scheme }) => [name, scheme]));
  const taken = held.layers.filter(({ name, scheme }) => scheme !== before.get(name));
  if (taken.length > 0) {
    const named = taken.slice(0, 3).map(({ name, reason }) => `${name} (${reason})`);
    const others = taken.length > named.length ? ` and ${taken.length - named.length} more` : '';
    reporter.warn(
      `tensorrt: ${taken.length} of ${plan.layers.length} layers stay float, their scales are too ` +
        `small for float16: ${named.join(', ')}${others}.`,
    );
  }
  return held;
}
