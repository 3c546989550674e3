import { indexUses } from '../../ir/index-uses.ts';
import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { distinctNames } from '../../passes/distinct-names.ts';
import { runPasses } from '../../passes/pass.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { applySmoothing } from '../../quantize/smooth/apply-smoothing.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { applyQuantization } from '../../targets/onnx/apply.ts';
import { ONNXRUNTIME_LOWERING } from '../../targets/onnx/lowering.ts';
import { prepareSource } from '../../targets/onnx/prepare-source.ts';

/** A model to run for what layers multiply. */
export interface ObservedInputs {
  readonly model: Model;
  /** The layers of a plan by name, as the float model has them that weights are rounded from. */
  readonly layers: ReadonlyMap<string, LinearLayer>;
  /** Values to observe in `model`, by the input of a layer; with their features. */
  readonly values: ReadonlyMap<string, { readonly value: string; readonly width: number }>;
}

/**
 * Returns where the inputs of planned layers are to be seen. Layers with INT8 activations are rounded for what they will
 * really multiply, so the quantized model is run, its weights rounded to nearest; where 4-bit layers are among
 * them all are seen in the float model.
 */
export function observeInputs(
  source: Model,
  plan: QuantizationPlan,
  planned: readonly PlannedLayer[],
): ObservedInputs {
  const { layers: all } = prepareSource(source, plan, ONNXRUNTIME_LOWERING);
  const names = new Set(planned.map(({ name }) => name));
  const layers = new Map(
    all.filter(({ name }) => names.has(name)).map((layer) => [layer.name, layer]),
  );
  if (plan.layers.some(({ scheme }) => scheme === 'w4a16')) {
    const values = [...layers.values()].map(
      ({ input, inFeatures }) => [input, { value: input, width: inFeatures }] as const,
    );
    return { model: sourceOfWeights(source, plan), layers, values: new Map(values) };
  }
  const model = applyQuantization(source, plan);
  const seen = seenInputs(model, planned);
  const values = [...layers.values()].flatMap(({ name, input, inFeatures }) => {
    const value = seen.get(name);
    return value === undefined ? [] : [[input, { value, width: inFeatures }] as const];
  });
  return { model, layers, values: new Map(values) };
}

/** The float32 model whose weights are rounded. */
function sourceOfWeights(model: Model, { smoothing }: QuantizationPlan): Model {
  const twin = runPasses(model, [distinctNames, convertToFloat32]);
  return smoothing === undefined ? twin : applySmoothing(twin, smoothing);
}

/** What layers of the main graph multiply, by layer: one plane as it is dequantized, others as what they stand for. */
function seenInputs(
  { graph }: Model,
  planned: readonly PlannedLayer[],
): ReadonlyMap<string, string> {
  const { producers } = indexUses(graph);
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  return new Map(
    planned.flatMap(({ name, node, scheme }): [string, string][] => {
      const value = byName.get(node)?.inputs[0];
      if (value === undefined) return [];
      if (scheme === 'w8a8') return [[name, value]];
      const dequantize = producers.get(value);
      const isDynamic = scheme === 'w8a8-dynamic';
      const quantize = isDynamic ? dequantize : producers.get(dequantize?.inputs[0] ?? '');
      return quantize === undefined ? [] : [[name, quantize.inputs[0]!]];
    }),
  );
}
