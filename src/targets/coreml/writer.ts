import { z } from 'zod';
import type { Model } from '../../ir/model.ts';
import { createWeightKernel } from '../../numerics/weight-kernel.ts';
import { distinctNames } from '../../passes/distinct-names.ts';
import { runPasses } from '../../passes/pass.ts';
import { planTotals } from '../../quantize/plan-totals.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { applySmoothing } from '../../quantize/smooth/apply-smoothing.ts';
import { isIntegerScheme } from '../../recipe/recipe.ts';
import type { ShapeRanges } from '../shapes.ts';
import type { Lowered, LoweringRequest, TargetWriter } from '../target.ts';
import { lowerToCoreml } from './lower.ts';

const PACKAGE = 'model.mlpackage';

/** Settings as the schema of the target has parsed them. */
const OPTIONS = z.object({ minIos: z.enum(['16', '17', '18']) });
const IOS = { '16': 16, '17': 17, '18': 18 } as const;

/** Writes `model.mlpackage` with the usual one of the shapes that are asked for. */
export const coremlWriter: TargetWriter = {
  isShaped: true,
  expected: [PACKAGE],
  whyFloat,
  fit,
  lower,
};

function whyFloat({ scheme, reason, body }: PlannedLayer): string | undefined {
  if (scheme === 'float') return reason ?? 'recipe';
  if (body !== undefined) return `lies in ${body}`;
  return scheme === 'w4a16' ? 'INT4 in blocks is wrong on the Neural Engine' : undefined;
}

/** Activations stay FP16: INT8 ones are not written yet, so that layers with them keep INT8 weights alone. */
async function fit(model: Model, plan: QuantizationPlan): Promise<QuantizationPlan> {
  if (!plan.layers.some(({ scheme }) => isIntegerScheme(scheme))) return plan;
  const layers = plan.layers.map((layer): PlannedLayer => {
    if (!isIntegerScheme(layer.scheme)) return layer;
    const { activation: _, ...rest } = layer;
    return { ...rest, scheme: 'w8a16', form: 'MatMulNBits', reason: 'Core ML: weights alone' };
  });
  return { ...plan, layers, totals: planTotals(model, layers, plan.embeddings) };
}

/** INT8 weights have one scale for each output channel, whatever blocks the plan has: blocks are for Macs alone. */
function lower({ model, plan, options, shapes, kernel }: LoweringRequest): Lowered {
  const { minIos } = OPTIONS.parse(options);
  const named = runPasses(model, [distinctNames]);
  const layers = new Set(
    plan.layers.filter((layer) => whyFloat(layer) === undefined).map(({ name }) => name),
  );
  const stayFloat = new Set(
    plan.layers.map(({ name }) => name).filter((name) => !layers.has(name)),
  );
  const source =
    plan.smoothing === undefined
      ? named
      : applySmoothing(named, plan.smoothing, 'stored', stayFloat);
  const { files, findings } = lowerToCoreml(source, {
    sizes: sizesOf(source, shapes),
    minIos: IOS[minIos],
    int8: { layers, kernel: kernel ?? createWeightKernel() },
  });
  return {
    kind: 'coreml',
    entry: `${PACKAGE}/Manifest.json`,
    files: files.map(({ name, read }) => ({ name: `${PACKAGE}/${name}`, read })),
    findings: findings.map((finding) => ({ rule: 'assumed', severity: 'warning', ...finding })),
  };
}

/** Returns the usual size of every symbol in the shapes of inputs. */
function sizesOf({ graph }: Model, shapes: ShapeRanges): Readonly<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const { name, type } of graph.inputs) {
    const dims = type?.kind === 'tensor' ? (type.shape ?? []) : [];
    const usual = shapes.get(name)?.opt ?? [];
    for (const [axis, dim] of dims.entries()) {
      const size = usual[axis];
      if (typeof dim === 'string' && size !== undefined) sizes[dim] ??= size;
    }
  }
  return sizes;
}
