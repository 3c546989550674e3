import { UnsupportedError, UsageError } from '../errors.ts';
import { rawByteLength } from '../ir/data-type.ts';
import { nodeNameMaker } from '../ir/edit.ts';
import { indexUses, type UseIndex } from '../ir/index-uses.ts';
import type { Model, Node } from '../ir/model.ts';
import { elementCount, type Tensor } from '../ir/tensor.ts';
import { chooseScale } from '../numerics/affine.ts';
import { int4RowBytes } from '../numerics/int4-blocks.ts';
import type { Facts } from '../ops/op-spec.ts';
import { constantValues } from '../passes/constant-nodes.ts';
import { findLinears } from '../passes/find-linears.ts';
import { inferFacts } from '../passes/infer-facts.ts';
import { inferShapes } from '../passes/infer-shapes.ts';
import type { LinearLayer } from '../passes/linear-layer.ts';
import { runPasses } from '../passes/pass.ts';
import {
  GPTQ_MAX_WIDTH,
  INT8_BLOCK_SIZE,
  int4Settings,
  type Recipe,
  type Scheme,
  weightOnlyBlockSize,
} from '../recipe/recipe.ts';
import { withoutConstantInput, withRange } from './activation-limits.ts';
import { type Embedding, findEmbeddings } from './find-embeddings.ts';
import { whyNotQuantizable } from './layer-limits.ts';
import { linearForm } from './linear-form.ts';
import { planTotals } from './plan-totals.ts';
import type {
  ActivationRange,
  ActivationRanges,
  PlannedActivation,
  PlannedEmbedding,
  PlannedLayer,
  PlannedWeight,
  QuantizationPlan,
} from './quantization-plan.ts';
import { type SelectedScheme, selectSchemes } from './select-scheme.ts';
import type { PlannedSmoothing } from './smooth/planned-smoothing.ts';
import { weightConsumers } from './weight-consumers.ts';

/** A decision that may still be taken back when a weight turns out to be shared. */
interface Draft {
  readonly node: Node;
  readonly initializer: string;
  choice: SelectedScheme;
}

interface LayerDraft extends Draft {
  readonly layer: LinearLayer;
}

interface TableDraft extends Draft {
  readonly embedding: Embedding;
}

/**
 * Returns what `recipe` does to each linear layer and token table of the float `model`, without
 * doing it. `ranges` holds calibrated activation ranges by value name; a layer without one falls
 * back to weights only, with the reason. Throws {@link UnsupportedError} when nothing would be
 * quantized, {@link UsageError} when the recipe needs ranges and there are none at all.
 */
export function planQuantization(
  model: Model,
  recipe: Recipe,
  ranges: ActivationRanges,
  smoothing?: PlannedSmoothing,
): QuantizationPlan {
  const typed = runPasses(model, [inferShapes]);
  const layers = findLinears(typed);
  const selected = selectSchemes(layers, recipe);
  const constants = constantValues(typed.graph);
  const drafts = layers.map((layer): LayerDraft => {
    const { node, weight } = layer;
    const wanted = withRounding(layer, selected.byLayer.get(layer.name)!, recipe);
    const possible = withinLimits(layer, wanted);
    const choice = withoutConstantInput(possible, layer.input, constants);
    return { layer, node, initializer: weight.initializer, choice };
  });
  requireRanges(drafts, ranges);
  for (const draft of drafts) draft.choice = withRange(draft.choice, draft.layer.input, ranges);
  const tables = findEmbeddings(typed, layers).map((embedding): TableDraft => {
    const choice: SelectedScheme =
      recipe.embedding === 'int8' ? { scheme: 'w8a16' } : { scheme: 'float', reason: 'recipe' };
    return { embedding, node: embedding.node, initializer: embedding.name, choice };
  });
  leaveSharedFloat(indexUses(typed.graph), [...drafts, ...tables]);
  const blockSizes = chooseBlockSizes(drafts, tables, recipe);
  const facts = inferFacts(typed).of(typed.graph);
  const shared = { recipe, ranges, blockSizes, facts, nodeName: nodeNameMaker(typed.graph) };
  const planned = drafts.map((draft) => planLayer(draft, shared));
  const embeddings = tables.map((draft) => planEmbedding(draft, blockSizes));
  requireSomething(planned, embeddings, recipe);
  return {
    recipe,
    layers: planned,
    embeddings,
    ...(smoothing !== undefined && { smoothing }),
    unmatchedRules: selected.unmatchedRules,
    totals: planTotals(typed, planned, embeddings),
  };
}

/** Says of layers that are too wide for GPTQ how they are rounded instead. */
function withRounding(layer: LinearLayer, choice: SelectedScheme, recipe: Recipe): SelectedScheme {
  const isGptq = choice.scheme === 'w4a16' && int4Settings(recipe).rounding === 'gptq';
  if (!isGptq || layer.inFeatures <= GPTQ_MAX_WIDTH) return choice;
  return { ...choice, reason: `K > ${GPTQ_MAX_WIDTH}: searched ranges, no GPTQ` };
}

function withinLimits(layer: LinearLayer, choice: SelectedScheme): SelectedScheme {
  const limit = choice.scheme === 'float' ? undefined : whyNotQuantizable(layer);
  return limit === undefined ? choice : { scheme: 'float', reason: limit };
}

function requireRanges(drafts: readonly LayerDraft[], ranges: ActivationRanges): void {
  const wanting = drafts.filter(({ choice }) => choice.scheme === 'w8a8');
  if (wanting.length === 0 || wanting.some(({ layer }) => ranges.has(layer.input))) return;
  throw new UsageError(
    `plan: no calibrated range for any of ${wanting.length} W8A8 layers ` +
      `(got ${ranges.size} ranges, expected "${wanting[0]!.layer.input}" among them). ` +
      'Calibrate this model first, or use recipe w8a16, which needs no ranges.',
  );
}

/** A constant that any float consumer still reads would be stored twice, so all its readers stay float. */
function leaveSharedFloat(index: UseIndex, drafts: readonly Draft[]): void {
  const readers = new Map<string, Draft[]>();
  for (const draft of drafts) {
    if (draft.choice.scheme === 'float') continue;
    const known = readers.get(draft.initializer);
    if (known === undefined) readers.set(draft.initializer, [draft]);
    else known.push(draft);
  }
  for (const [name, quantized] of readers) {
    const covered = new Set(quantized.map(({ node }) => node));
    const { nodes, escapes } = weightConsumers(index, name);
    if (!escapes && [...nodes].every((node) => covered.has(node))) continue;
    for (const draft of quantized) {
      draft.choice = { scheme: 'float', reason: 'weight is shared with a float consumer' };
    }
  }
}

/**
 * Returns the block size of each weight-only constant that is cut in blocks: where the recipe says so or several
 * layers share it (by channel onnxruntime fuses none of them), blocks divide its input features, and no
 * reader needs a scale per channel.
 */
function chooseBlockSizes(
  layers: readonly LayerDraft[],
  tables: readonly TableDraft[],
  recipe: Recipe,
): ReadonlyMap<string, number> {
  const blockSize = weightOnlyBlockSize(recipe) ?? INT8_BLOCK_SIZE;
  const isCut = weightOnlyBlockSize(recipe) !== undefined;
  const readers = new Map<string, number>();
  for (const { initializer } of layers) {
    readers.set(initializer, (readers.get(initializer) ?? 0) + 1);
  }
  const byChannel = new Set<string>();
  for (const { layer, choice, initializer } of layers) {
    const fits = choice.scheme === 'w8a16' && layer.inFeatures % blockSize === 0;
    if (!fits) byChannel.add(initializer);
  }
  for (const { embedding, initializer } of tables) {
    const { table, tokenAxis } = embedding;
    if (table.dims[1 - tokenAxis]! % blockSize !== 0) byChannel.add(initializer);
  }
  const names = [...layers, ...tables]
    .map(({ initializer }) => initializer)
    .filter((name) => !byChannel.has(name) && (isCut || (readers.get(name) ?? 0) > 1));
  return new Map(names.map((name): [string, number] => [name, blockSize]));
}

/** What the planning of one layer looks at. */
interface LayerContext {
  readonly recipe: Recipe;
  readonly ranges: ActivationRanges;
  readonly blockSizes: ReadonlyMap<string, number>;
  readonly facts: ReadonlyMap<string, Facts>;
  /** Makes a free name for a node that has none. */
  readonly nodeName: (wanted: string) => string;
}

function planLayer(
  { layer, choice }: LayerDraft,
  { recipe, ranges, blockSizes, facts, nodeName }: LayerContext,
): PlannedLayer {
  const { node, weight } = layer;
  const range = choice.scheme === 'w8a8' ? ranges.get(layer.input) : undefined;
  return {
    name: layer.name,
    node: node.name === '' ? nodeName(layer.name) : node.name,
    op: node.opType,
    role: layer.role,
    scheme: choice.scheme,
    ...(choice.reason !== undefined && { reason: choice.reason }),
    form: linearForm(layer, choice.scheme, facts.get(layer.input)?.shape?.length),
    inFeatures: layer.inFeatures,
    outFeatures: layer.outFeatures,
    weight: planWeight(weight.initializer, weight.tensor, choice.scheme, {
      channels: layer.outFeatures,
      recipe,
      blockSize: blockSizes.get(weight.initializer),
    }),
    ...(range !== undefined && {
      activation: planActivation(layer.input, range, recipe.activations.symmetric),
    }),
  };
}

function planActivation(
  tensor: string,
  range: ActivationRange,
  symmetric: boolean,
): PlannedActivation {
  const { scale, zeroPoint } = chooseScale(range, { dataType: 'uint8', symmetric });
  const { min, max, calibrator } = range;
  return { tensor, min, max, calibrator, dataType: 'uint8', scale, zeroPoint };
}

function planEmbedding(
  { embedding, choice }: TableDraft,
  blockSizes: ReadonlyMap<string, number>,
): PlannedEmbedding {
  const scheme = choice.scheme === 'float' ? 'float' : 'int8';
  return {
    name: embedding.name,
    node: embedding.node.name,
    scheme,
    ...(choice.reason !== undefined && { reason: choice.reason }),
    table: planWeight(embedding.name, embedding.table, choice.scheme, {
      channels: embedding.table.dims[embedding.tokenAxis]!,
      blockSize: blockSizes.get(embedding.name),
    }),
  };
}

function planWeight(
  initializer: string,
  tensor: Tensor,
  scheme: Scheme,
  grid: {
    readonly channels: number;
    readonly recipe?: Recipe;
    readonly blockSize: number | undefined;
  },
): PlannedWeight {
  const { channels, recipe, blockSize } = grid;
  const { dims, dataType } = tensor;
  const count = elementCount(dims);
  const bytesBefore = rawByteLength(dataType, count) ?? tensor.source.byteLength;
  const integerBytes =
    scheme === 'w4a16' && recipe !== undefined
      ? channels * int4RowBytes(count / channels, int4Settings(recipe))
      : count + 4 * (blockSize === undefined ? channels : count / blockSize);
  const planned = { initializer, dims, dataType, bytesBefore };
  if (scheme === 'float') return { ...planned, bytesAfter: bytesBefore };
  return { ...planned, bytesAfter: integerBytes, ...(blockSize !== undefined && { blockSize }) };
}

function requireSomething(
  layers: readonly PlannedLayer[],
  embeddings: readonly PlannedEmbedding[],
  recipe: Recipe,
): void {
  if (layers.some(({ scheme }) => scheme !== 'float')) return;
  if (embeddings.some(({ scheme }) => scheme !== 'float')) return;
  const reasons = [...new Set(layers.map(({ reason }) => reason ?? 'recipe'))].slice(0, 3);
  const found =
    layers.length === 0
      ? 'no linear layers found'
      : `${layers.length} linear layers, all left float: ${reasons.join('; ')}`;
  throw new UnsupportedError(
    `plan: recipe ${recipe.name} quantizes nothing in this model (got ${found}, expected at least ` +
      'one layer). See `autoglm inspect` for what the model holds.',
  );
}
