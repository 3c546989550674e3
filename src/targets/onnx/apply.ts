import { UnsupportedError } from '../../errors.ts';
import { subgraphs } from '../../ir/attributes.ts';
import { correctedTypes } from '../../ir/declared-type.ts';
import { type Graph, type Model, type Node, opsetVersion } from '../../ir/model.ts';
import { beginRewrite, finishRewrite } from '../../ir/rewrite.ts';
import { createWeightKernel, type WeightKernel } from '../../numerics/weight-kernel.ts';
import { closeBodies } from '../../passes/close-bodies.ts';
import { bodyOf } from '../../passes/open-bodies.ts';
import { raiseOpset } from '../../passes/raise-opset.ts';
import { linearForm } from '../../quantize/linear-form.ts';
import type {
  PlannedEmbedding,
  PlannedLayer,
  QuantizationPlan,
} from '../../quantize/quantization-plan.ts';
import { createBlockQuantizer } from '../../quantize/weights/blocked-weight.ts';
import { gptqRounding, type RoundWeight } from '../../quantize/weights/gptq-weight.ts';
import type { ReadInputMoments } from '../../quantize/weights/input-moments.ts';
import { int4Weights } from '../../quantize/weights/int4-weight.ts';
import { int4Settings, int8Rounding, isIntegerScheme } from '../../recipe/recipe.ts';
import { findEmbeddings } from '../../structure/find-embeddings.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { type Lowering, ONNXRUNTIME_LOWERING } from './lowering.ts';
import { prepareSource } from './prepare-source.ts';
import { type Quantizer, surroundProducts } from './product-form.ts';
import type { WriteContext } from './write-context.ts';
import { writeDynamicLinear } from './write-dynamic-linear.ts';
import { writeEmbedding } from './write-embedding.ts';
import { int4Context, writeInt4 } from './write-int4.ts';
import { writeBlockedEmbedding, writeInt8Blocks } from './write-int8-blocks.ts';
import { writeLinear } from './write-linear.ts';
import { writePlanes } from './write-planes.ts';

/** First opset whose DequantizeLinear takes one scale per channel, and FP16 scales. */
const PER_CHANNEL_OPSET = 13;
const FLOAT16_SCALE_OPSET = 19;
/** First opset with 4-bit types and DequantizeLinear in blocks. */
const BLOCKED_OPSET = 21;

const CONTRIB_DOMAIN = 'com.microsoft';

/** How to write a plan. */
export interface ApplyOptions {
  /** The form for onnxruntime when absent. */
  readonly lowering?: Lowering | undefined;
  /** Arithmetic on weights; one in this thread when absent. */
  readonly kernel?: WeightKernel | undefined;
  /** Second moments of the inputs of 4-bit layers; needed unless these are rounded to nearest. */
  readonly moments?: ReadInputMoments | undefined;
}

/**
 * Returns `model`, the float model that was planned, with the plan carried out. No weight is read:
 * INT8 constants and their scales are computed when a writer pulls them, at most 64 MiB at a time.
 * Throws {@link UnsupportedError} when the plan names a layer that the model does not have.
 */
export function applyQuantization(
  model: Model,
  plan: QuantizationPlan,
  options: ApplyOptions = {},
): Model {
  const { lowering = ONNXRUNTIME_LOWERING, kernel = createWeightKernel() } = options;
  const { opened, typed, layers, wanted } = prepareSource(model, plan, lowering);
  const entries = inNodeOrder(typed, layers, wanted);
  const placeOf = (node: Node): string => bodyOf(opened, node)?.label ?? '';
  const tables = new Set(findEmbeddings(typed, layers).map(({ name }) => name));
  const context = beginWriting(typed, entries, {
    lowering,
    kernel,
    placeOf,
    round: roundingOf(plan, options.moments),
    rounded: aloneWith(entries, tables),
  });
  const settings = int4Settings(plan.recipe);
  const int4 = int4Context(
    settings,
    int4Weights(settings, options.moments),
    entries.flatMap(({ planned, layer }) => (planned.scheme === 'w4a16' ? [layer] : [])),
  );
  if (lowering.weightOnly === 'int8') writeEmbeddings(context, typed, layers, plan.embeddings);
  for (const { planned, layer } of entries) {
    const rank = context.surroundings.facts.get(layer.input)?.shape?.length;
    const form = linearForm(layer, planned.scheme, rank);
    const { blockSize } = planned.weight;
    if (planned.scheme === 'w4a16') writeInt4(context, int4, layer);
    else if (blockSize !== undefined) writeInt8Blocks(context, layer, blockSize);
    else if (form === 'DynamicQuantizeMatMul') writeDynamicLinear(context, layer);
    else if (planned.scheme === 'w8a8x2') writePlanes(context, layer, form, planned.activation!);
    else if (form !== 'float') writeLinear(context, layer, form, planned.activation);
  }
  const graph = finishRewrite(
    context.rewrite,
    correctedTypes(opened.model.graph.valueInfo, typed.graph.valueInfo),
  );
  return withNeededOpset(closeBodies(opened, { ...opened.model, graph }), context);
}

function writeEmbeddings(
  context: WriteContext,
  model: Model,
  layers: readonly LinearLayer[],
  planned: readonly PlannedEmbedding[],
): void {
  const tables = findEmbeddings(model, layers);
  for (const { name, node, scheme, table } of planned) {
    if (scheme === 'float') continue;
    const found =
      tables.find((candidate) => candidate.name === name && candidate.node.name === node) ??
      missing('token table', name);
    if (table.blockSize === undefined) writeEmbedding(context, found);
    else writeBlockedEmbedding(context, found, table.blockSize);
  }
}

function beginWriting(
  model: Model,
  entries: readonly PlannedEntry[],
  shared: Pick<WriteContext, 'lowering' | 'kernel' | 'placeOf' | 'round' | 'rounded'>,
): WriteContext {
  const quantizers = entries.flatMap(({ planned, layer }): [Node, Quantizer][] => {
    if (planned.scheme === 'w8a8-dynamic') return [[layer.node, 'DynamicQuantizeLinear']];
    if (planned.scheme === 'w8a8x2') return [[layer.node, 'two planes']];
    return planned.scheme === 'w8a8' ? [[layer.node, 'QuantizeLinear']] : [];
  });
  return {
    ...shared,
    rewrite: beginRewrite(model.graph),
    quantizeBlocks: createBlockQuantizer(shared.kernel),
    nodeNames: new Map(entries.map(({ planned }) => [planned.name, planned.node])),
    surroundings: surroundProducts(model, new Map(quantizers), shared.placeOf),
    activations: new Map(),
    dynamicActivations: new Map(),
    integerProducts: integerProducts(entries),
    weights: new Map(),
    blockedWeights: new Map(),
  };
}

function roundingOf(
  { recipe }: QuantizationPlan,
  moments: ReadInputMoments | undefined,
): RoundWeight | undefined {
  return moments !== undefined && int8Rounding(recipe) !== 'rtn'
    ? gptqRounding(moments)
    : undefined;
}

/** Layers with INT8 activations whose weights nothing else reads: what suits one input need not suit another. */
function aloneWith(
  entries: readonly PlannedEntry[],
  tables: ReadonlySet<string>,
): ReadonlyMap<string, LinearLayer> {
  const alone = new Map<string, LinearLayer>();
  const shared = new Set(tables);
  for (const { planned, layer } of entries) {
    const { initializer } = layer.weight;
    if (shared.has(initializer)) continue;
    if (alone.has(initializer)) shared.add(initializer);
    else if (isIntegerScheme(planned.scheme)) alone.set(initializer, layer);
    else shared.add(initializer);
  }
  for (const name of shared) alone.delete(name);
  return alone;
}

/** A planned layer and where it is in the model. */
interface PlannedEntry {
  readonly planned: PlannedLayer;
  readonly layer: LinearLayer;
}

/** Quantized inputs stand before their first reader, so layers must come in the order of the graph. */
function inNodeOrder(
  model: Model,
  layers: readonly LinearLayer[],
  planned: readonly PlannedLayer[],
): readonly PlannedEntry[] {
  const byName = new Map<string, LinearLayer>(layers.map((layer) => [layer.name, layer]));
  const positions = new Map(model.graph.nodes.map((node, index) => [node, index]));
  return planned
    .map((entry) => ({
      planned: entry,
      layer: byName.get(entry.name) ?? missing('layer', entry.name),
    }))
    .sort((a, b) => positions.get(a.layer.node)! - positions.get(b.layer.node)!);
}

/** Smoothing may have renamed a constant, so the names are those that the layers read now. */
function integerProducts(entries: readonly PlannedEntry[]): ReadonlySet<string> {
  const products = entries.filter(({ planned }) => isIntegerScheme(planned.scheme));
  return new Set(products.map(({ layer }) => layer.weight.initializer));
}

function missing(what: string, name: string): never {
  throw new UnsupportedError(
    `quantize: the plan names a ${what} that is not in this model (got "${name}"). ` +
      'Plan and model belong together: plan again from this model.',
  );
}

function withNeededOpset(model: Model, { rewrite }: WriteContext): Model {
  const added = [...rewrite.added.values()];
  const hasFloat16Scale = added.some(({ dataType }) => dataType === 'float16');
  const isBlocked = added.some(({ dataType }) => dataType === 'int4' || dataType === 'uint4');
  const needed = isBlocked
    ? BLOCKED_OPSET
    : hasFloat16Scale
      ? FLOAT16_SCALE_OPSET
      : PER_CHANNEL_OPSET;
  const raised = (opsetVersion(model) ?? 1) >= needed ? model : raiseOpset(model, needed);
  return withContribOperators(raised);
}

/** Declares the operator set of onnxruntime's own operators where a node of it was written. */
function withContribOperators(model: Model): Model {
  const isUsed = usesDomain(model.graph, CONTRIB_DOMAIN);
  if (!isUsed || opsetVersion(model, CONTRIB_DOMAIN) !== undefined) return model;
  const opsetImports = [...model.opsetImports, { domain: CONTRIB_DOMAIN, version: 1 }];
  return { ...model, opsetImports };
}

function usesDomain({ nodes }: Graph, wanted: string): boolean {
  return nodes.some(
    (node) => node.domain === wanted || subgraphs(node).some((body) => usesDomain(body, wanted)),
  );
}
