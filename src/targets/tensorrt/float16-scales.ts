import { UnsupportedError } from '../../errors.ts';
import type { Model, Node } from '../../ir/model.ts';
import { readTensorBytes } from '../../ir/tensor.ts';
import { FLOAT16_MIN_SCALE } from '../../numerics/affine.ts';
import { float32ToFloat16 } from '../../numerics/float16.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { type Fallback, takeBack } from '../../quantize/search/choose-schemes.ts';
import { applyQuantization } from '../onnx/apply.ts';
import { integerLayers, type Lowering } from '../onnx/lowering.ts';

const SMALLEST = float32ToFloat16(FLOAT16_MIN_SCALE);
/** Inputs of a product by what is said of their scales. */
const SIDES = ['activation', 'weight'] as const;

/**
 * Returns the plan without the layers of which a float16 scale, of the activation or of a weight
 * channel, would lie below 3e-6, where it is coarser than 1 %: they stay float, with the reason. Reads
 * the weights once where scales are float16; the same plan when every scale is exact enough.
 * Throws {@link UnsupportedError} when no layer is left.
 */
export async function withoutInexactScales(
  model: Model,
  plan: QuantizationPlan,
  lowering: Lowering,
  kernel: WeightKernel,
): Promise<QuantizationPlan> {
  const { graph } = applyQuantization(model, plan, { lowering, kernel });
  const products = new Map(graph.nodes.map((node) => [node.name, node]));
  const producers = new Map(
    graph.nodes.flatMap((node) => node.outputs.map((output): [string, Node] => [output, node])),
  );
  const isInexact = async (value: string): Promise<boolean> => {
    const scale = graph.initializers.get(producers.get(value)?.inputs[1] ?? '');
    if (scale?.dataType !== 'float16') return false;
    const bytes = await readTensorBytes(scale);
    return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2).some(
      (bits) => bits <= SMALLEST,
    );
  };
  const planned = integerLayers(plan, lowering);
  const fallbacks = new Map<string, Fallback>();
  for (const { name, node } of planned) {
    for (const [index, side] of SIDES.entries()) {
      const value = products.get(node)?.inputs[index];
      if (value === undefined || !(await isInexact(value))) continue;
      fallbacks.set(name, { choice: 'float', reason: `float16 scale of the ${side} < 3e-6` });
      break;
    }
  }
  if (fallbacks.size === 0) return plan;
  const left = takeBack(model, plan, fallbacks);
  if (integerLayers(left, lowering).length > 0) return left;
  throw new UnsupportedError(
    `tensorrt: float16 scales are too coarse for every layer (got scales below ${FLOAT16_MIN_SCALE.toExponential(0)} ` +
      `in ${planned.length} of ${planned.length}, expected at least one layer without). Export the model in float32.`,
  );
}
