import { allNodes } from '../../ir/all-nodes.ts';
import { intAttribute } from '../../ir/attributes.ts';
import { DATA_TYPES, type DataType, isFloatDataType, isKnownDataType } from '../../ir/data-type.ts';
import type { Graph, Model, Node, ValueInfo } from '../../ir/model.ts';
import { elementCount, type Tensor } from '../../ir/tensor.ts';
import { declaredFacts } from '../../passes/infer-facts.ts';
import type { Block } from '../../structure/block.ts';
import { countInBodies } from '../../structure/count-in-bodies.ts';
import { ALREADY_QUANTIZED } from '../../structure/find-linears.ts';
import { findQuantized, type QuantizedLayer } from '../../structure/find-quantized.ts';
import type { LinearLayer, LinearRole } from '../../structure/linear-layer.ts';
import type { Recognition } from '../../structure/recognize.ts';
import { floatConstantBytes } from '../float-constants.ts';
import type { QuantizationPlan } from '../quantization-plan.ts';
import { surveyModel } from '../survey-model.ts';
import { forecastSizes, tryPlan } from './forecast-sizes.ts';
import type {
  BlockSummary,
  DataTypeSummary,
  LinearSummary,
  ModelSummary,
  PrunableGroups,
  QuantizableSummary,
  QuantizedSummary,
  ValueSummary,
} from './model-summary.ts';

/** Which recipe decides what counts as quantizable: the one that `quantize` takes when none is named. */
const USUAL_RECIPE = 'w8a8';

/**
 * Returns what is inside a model, and what quantizing it would do by the plans of the built-in recipes. Looks
 * at shapes and names only; no weight is read.
 */
export function inspectModel(model: Model): ModelSummary {
  const { opened, recognition: found, declined } = surveyModel(model);
  const nodes = [...allNodes(model.graph)];
  const dataTypes = summarizeConstants(model.graph, nodes);
  const parameterCount = sum(dataTypes.map((entry) => entry.parameterCount));
  const weightByteLength = sum(dataTypes.map((entry) => entry.byteLength));
  const usual = tryPlan(model, USUAL_RECIPE);
  const plan = typeof usual === 'string' ? undefined : usual;
  const kvCacheByteLengthPerToken = kvCacheBytes(model, found.blocks);
  const totals = { parameterCount, weightByteLength, kvCacheByteLengthPerToken };
  return {
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(' ') || undefined,
    irVersion: model.irVersion,
    ...inspectInterface(model),
    nodeCount: nodes.length,
    ops: countOps(nodes),
    parameterCount,
    weightByteLength,
    bitsPerWeight: parameterCount === 0 ? 0 : (8 * weightByteLength) / parameterCount,
    dataTypes,
    blocks: found.blocks.map(summarizeBlock),
    norms: countForms(found.norms),
    activations: countForms(found.activations),
    linears: countLinears(found.linears),
    bodies: countInBodies(opened, found.linears),
    quantizable: summarizeQuantizable(plan, weightByteLength),
    alreadyQuantized: summarizeQuantized(findQuantized(model)),
    notQuantized: Object.entries(
      plan?.totals.floatBytes ?? floatConstantBytes(opened.model, new Set()),
    ).map(([op, byteLength]) => ({ op, byteLength })),
    prunable: found.blocks.flatMap(prunableGroups),
    kvCacheByteLengthPerToken,
    forecasts: forecastSizes(model, totals),
    declined: declined
      .filter(({ reason }) => reason !== ALREADY_QUANTIZED)
      .map(({ node, reason }) => ({ node, reason })),
  };
}

/** Returns opsets, inputs and outputs as a model declares them. */
export function inspectInterface({
  graph,
  opsetImports,
}: Model): Pick<ModelSummary, 'opsets' | 'inputs' | 'outputs'> {
  return {
    opsets: opsetImports.map(({ domain, version }) => ({ domain, version })),
    inputs: graph.inputs.filter(({ name }) => !graph.initializers.has(name)).map(summarizeValue),
    outputs: graph.outputs.map(summarizeValue),
  };
}

/** Weights that several layers share, or a layer and a table, count once. */
function summarizeQuantizable(
  plan: QuantizationPlan | undefined,
  weightByteLength: number,
): QuantizableSummary {
  const layers = (plan?.layers ?? []).filter(({ scheme }) => scheme !== 'float');
  const tables = (plan?.embeddings ?? []).filter(({ scheme }) => scheme !== 'float');
  const weights = new Map(
    [...layers.map(({ weight }) => weight), ...tables.map(({ table }) => table)].map((weight) => [
      weight.initializer,
      weight,
    ]),
  );
  const byteLength = sum([...weights.values()].map(({ bytesBefore }) => bytesBefore));
  return {
    layerCount: layers.length,
    tableCount: tables.length,
    parameterCount: sum([...weights.values()].map(({ dims }) => elementCount(dims))),
    byteLength,
    weightByteShare: weightByteLength === 0 ? 0 : byteLength / weightByteLength,
  };
}

function summarizeQuantized(layers: readonly QuantizedLayer[]): readonly QuantizedSummary[] {
  const rows = new Map<string, QuantizedSummary>();
  for (const { kind, form, byteLength } of layers) {
    const key = `${kind} ${form}`;
    const row = rows.get(key) ?? { kind, form, count: 0, byteLength: 0 };
    rows.set(key, { ...row, count: row.count + 1, byteLength: row.byteLength + byteLength });
  }
  return [...rows.values()];
}

function* initializersOf(graph: Graph, nodes: readonly Node[]): Generator<Tensor> {
  yield* graph.initializers.values();
  for (const node of nodes) {
    for (const attribute of node.attributes.values()) {
      if (attribute.kind === 'tensor') yield attribute.value;
      if (attribute.kind === 'graph') yield* attribute.value.initializers.values();
    }
  }
}

function summarizeConstants(graph: Graph, nodes: readonly Node[]): readonly DataTypeSummary[] {
  const counts = countsByName(nodes);
  const seen = new Set<string>();
  const rows = new Map<
    DataType,
    { tensorCount: number; parameterCount: number; byteLength: number }
  >();
  for (const tensor of initializersOf(graph, nodes)) {
    const key = sourceKey(tensor);
    if (key !== undefined && seen.has(key)) continue;
    if (key !== undefined) seen.add(key);
    const row = rows.get(tensor.dataType) ?? { tensorCount: 0, parameterCount: 0, byteLength: 0 };
    row.tensorCount++;
    row.byteLength += tensor.source.byteLength;
    row.parameterCount += counts.get(tensor.name) ?? parametersOf(tensor);
    rows.set(tensor.dataType, row);
  }
  return [...rows]
    .map(([dataType, row]) => ({ dataType, ...row }))
    .sort((a, b) => b.byteLength - a.byteLength || (a.dataType < b.dataType ? -1 : 1));
}

/** Tied tensors are those that promise the same bytes or lie at the same place of a file. */
function sourceKey({ source, dims }: Tensor): string | undefined {
  if (source.key !== undefined) return `${source.key} ${dims.length}`;
  return source.slice && `${source.slice.path} ${source.slice.offset} ${source.byteLength}`;
}

/** 64-bit integers and booleans are shape arithmetic; narrow integers of rank > 1 are weights. */
function parametersOf({ dataType, dims }: Tensor): number {
  if (isFloatDataType(dataType) || dataType.startsWith('float')) return elementCount(dims);
  const bits = isKnownDataType(dataType) ? DATA_TYPES[dataType].bits : 0;
  return bits > 0 && bits <= 8 && dataType !== 'bool' && dims.length > 1 ? elementCount(dims) : 0;
}

/**
 * Parameters of constants whose shape does not tell: MatMulNBits packs K x N weights into bytes, and scales and
 * zero points are the cost of storing weights, not weights.
 */
function countsByName(nodes: readonly Node[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const node of nodes) {
    const scalesAt = SCALES_AT[node.opType];
    if (scalesAt === undefined) continue;
    for (const name of node.inputs.slice(scalesAt, scalesAt + 2)) counts.set(name, 0);
    if (node.opType !== 'MatMulNBits') continue;
    counts.set(node.inputs[1] ?? '', intAttribute(node, 'K', 0) * intAttribute(node, 'N', 0));
  }
  return counts;
}

/** Where quantized ops read the scale; the zero point follows. */
const SCALES_AT: Readonly<Record<string, number>> = {
  QuantizeLinear: 1,
  DequantizeLinear: 1,
  MatMulNBits: 2,
  GatherBlockQuantized: 2,
};

function summarizeValue(info: ValueInfo): ValueSummary {
  const { dataType, shape } = declaredFacts(info);
  return { name: info.name, dataType, shape };
}

function countOps(nodes: readonly Node[]): ModelSummary['ops'] {
  const counts = new Map<string, number>();
  for (const { domain, opType } of nodes) {
    const key = `${domain}:${opType}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([key, count]) => {
      const at = key.lastIndexOf(':');
      return { domain: key.slice(0, at), opType: key.slice(at + 1), count };
    });
}

function summarizeBlock(block: Block): BlockSummary {
  const { index, name } = block;
  const parameterCount = sum(block.linears.map(weightCount));
  if (block.kind === 'ffn') {
    const { kind, activation, gated, width } = block;
    return { kind, index, name, activation, gated, width, parameterCount };
  }
  const { kind, form, heads, kvHeads, headDim, rotary } = block;
  return { kind, index, name, form, heads, kvHeads, headDim, rotary, parameterCount };
}

function countForms(
  items: Recognition['norms'] | Recognition['activations'],
): readonly { readonly kind: string; readonly form: string; readonly count: number }[] {
  const counts = new Map<string, { kind: string; form: string; count: number }>();
  for (const { kind, form } of items) {
    const entry = counts.get(`${kind} ${form}`) ?? { kind, form, count: 0 };
    entry.count++;
    counts.set(`${kind} ${form}`, entry);
  }
  return [...counts.values()];
}

/** A weight that several layers share adds its size to the row of the first. */
function countLinears(linears: readonly LinearLayer[]): readonly LinearSummary[] {
  const rows = new Map<LinearRole, { count: number; parameterCount: number; byteLength: number }>();
  const counted = new Set<string>();
  for (const layer of linears) {
    const { initializer, tensor } = layer.weight;
    const row = rows.get(layer.role) ?? { count: 0, parameterCount: 0, byteLength: 0 };
    row.count++;
    if (!counted.has(initializer)) {
      row.parameterCount += weightCount(layer);
      row.byteLength += tensor.source.byteLength;
    }
    counted.add(initializer);
    rows.set(layer.role, row);
  }
  return [...rows].map(([role, row]) => ({ role, ...row }));
}

function prunableGroups(block: Block): readonly PrunableGroups[] {
  const ends = block.linears.filter(({ role }) => role === 'down' || role === 'attention-output');
  const total = sum(
    block.linears.map((layer) => {
      const biased = layer.bias !== undefined && !ends.includes(layer);
      return weightCount(layer) + (biased ? layer.outFeatures : 0);
    }),
  );
  const groupCount = block.kind === 'ffn' ? block.width : block.kvHeads;
  if (groupCount === undefined || groupCount < 1) return [];
  const kind = block.kind === 'ffn' ? 'ffn-channel' : 'kv-group';
  return [{ block: block.name, kind, groupCount, parametersPerGroup: total / groupCount }];
}

function kvCacheBytes(model: Model, blocks: readonly Block[]): number {
  const past = model.graph.inputs.find(({ name }) => /past|cache/.test(name));
  if (past === undefined) return 0;
  const declared = declaredFacts(past).dataType ?? 'float16';
  const bytes = isKnownDataType(declared) ? DATA_TYPES[declared].bits / 8 : 2;
  return sum(
    blocks.map((block) =>
      block.kind === 'attention' ? 2 * (block.kvHeads ?? 0) * (block.headDim ?? 0) * bytes : 0,
    ),
  );
}

function weightCount(layer: LinearLayer): number {
  return layer.inFeatures * layer.outFeatures;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
