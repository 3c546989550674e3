import { graphBytes, weightBytes, weightFileOf } from '../../formats/mnn/write.ts';
import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { distinctNames } from '../../passes/distinct-names.ts';
import { runPasses } from '../../passes/pass.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { applySmoothing } from '../../quantize/smooth/apply-smoothing.ts';
import { findEmbeddings } from '../../structure/find-embeddings.ts';
import { findLinears } from '../../structure/find-linears.ts';
import type { Lowered, LoweringRequest, TargetWriter } from '../target.ts';
import { integerTables, integerWeights, whyFloat } from './integer-weights.ts';
import { lowerToMnn } from './lower.ts';
import { MNN_OPTIONS } from './options.ts';
import { prepareForMnn } from './prepare.ts';

/** The runtime finds the weights by the name of the graph. */
const ENTRY = 'model.mnn';

/** Writes `model.mnn` and `model.mnn.weight`. */
export const mnnWriter: TargetWriter = {
  isShaped: false,
  expected: [ENTRY, weightFileOf(ENTRY)],
  whyFloat,
  lower,
};

/**
 * Returns the plan as an MNN graph with integer weights; what it smooths is folded into them. Throws UnsupportedError as
 * {@link lowerToMnn} and {@link integerWeights} do.
 */
function lower({ model, plan, options, kernel, moments }: LoweringRequest): Lowered {
  const { floats } = MNN_OPTIONS.parse(options);
  const float = smoothed(model, plan);
  const source = prepareForMnn(float);
  const integers = integerWeights(plan, findLinears(source), { kernel, moments });
  const tables = integerTables(plan, findEmbeddings(float, findLinears(float)), kernel);
  const lowered = lowerToMnn(source, { floats, integers, tables });
  const files = [
    { name: weightFileOf(ENTRY), read: () => weightBytes(lowered.model) },
    { name: ENTRY, read: () => graphBytes(lowered.model) },
  ];
  return { kind: 'mnn', entry: ENTRY, files, findings: lowered.findings };
}

/** Names first: the plan was made with them, and the twin has others besides. */
function smoothed(model: Model, plan: QuantizationPlan): Model {
  const { smoothing } = plan;
  const twin = runPasses(model, [distinctNames, convertToFloat32]);
  if (smoothing === undefined) return twin;
  const float = plan.layers.flatMap((layer) => (whyFloat(layer) === undefined ? [] : [layer.name]));
  return applySmoothing(twin, smoothing, 'stored', new Set(float));
}
