import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { distinctNames } from '../../passes/distinct-names.ts';
import { inferShapes } from '../../passes/infer-shapes.ts';
import { type OpenedModel, openBodies } from '../../passes/open-bodies.ts';
import { runPasses } from '../../passes/pass.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { applySmoothing } from '../../quantize/smooth/apply-smoothing.ts';
import { findOpenedLinears } from '../../structure/find-linears.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { integerLayers, type Lowering } from './lowering.ts';

/** The float model that a lowering writes a plan into. */
export interface PreparedSource {
  /** Smoothed, in the types of the lowering, its bodies open. */
  readonly opened: OpenedModel;
  /** The same with shapes. */
  readonly typed: Model;
  readonly layers: readonly LinearLayer[];
  /** Layers of the plan that become integers. */
  readonly wanted: readonly PlannedLayer[];
}

interface Known {
  readonly plan: QuantizationPlan;
  readonly lowering: Lowering;
  readonly prepared: PreparedSource;
}

/** Models and plans do not change. A plan is carried out twice: for second moments, and with them. */
const known = new WeakMap<Model, Known>();

/** Returns the float `model` that was planned as a lowering writes into it. Reads no weight. */
export function prepareSource(
  model: Model,
  plan: QuantizationPlan,
  lowering: Lowering,
): PreparedSource {
  const before = known.get(model);
  if (before?.plan === plan && before.lowering === lowering) return before.prepared;
  const prepared = prepare(model, plan, lowering);
  known.set(model, { plan, lowering, prepared });
  return prepared;
}

function prepare(model: Model, plan: QuantizationPlan, lowering: Lowering): PreparedSource {
  // Names first: the plan was made with them, and the twin has others besides.
  const named = runPasses(model, [distinctNames]);
  const passes = lowering.activations === 'float32' ? [convertToFloat32] : [];
  const { smoothing } = plan;
  const wanted = integerLayers(plan, lowering);
  const stayFloat = new Set(plan.layers.map(({ name }) => name));
  for (const { name } of wanted) stayFloat.delete(name);
  const smooth = (float: Model): Model =>
    smoothing === undefined ? float : applySmoothing(float, smoothing, 'stored', stayFloat);
  // The FP32 twin of an FP16 artifact has its weights: folded, then rounded to FP16.
  const isTwin = lowering.activations === 'float32' && lowering.scaleType === 'float16';
  const source = isTwin ? runPasses(smooth(named), passes) : smooth(runPasses(named, passes));
  const opened = openBodies(source);
  const typed = runPasses(opened.model, [inferShapes]);
  return { opened, typed, layers: findOpenedLinears(opened, typed), wanted };
}
