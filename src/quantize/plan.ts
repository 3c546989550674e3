import { UnsupportedError, UsageError } from '../errors.ts';
import { rawByteLength } from '../ir/data-type.ts';
import { nodeNameMaker } from '../ir/edit.ts';
import type { Model } from '../ir/model.ts';
import { elementCount, type Tensor } from '../ir/tensor.ts';
import { chooseScale } from '../numerics/affine.ts';
import { int4RowBytes } from '../numerics/int4-blocks.ts';
import type { Facts } from '../ops/op-spec.ts';
import { constantValues } from '../passes/constant-nodes.ts';
import { bodyOf, isReached } from '../passes/open-bodies.ts';
import {
  GPTQ_MAX_WIDTH,
  int4Settings,
  isCalibratedScheme,
  type Recipe,
  type Scheme,
} from '../recipe/recipe.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';
import { withoutConstantInput, withRange } from './activation-limits.ts';
import { withinBody } from './body-limits.ts';
import { type BorrowedRange, borrowRanges } from './borrow-ranges.ts';
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
import {
  chooseBlockSizes,
  type LayerDraft,
  leaveSharedFloat,
  leaveUnblockedFloat,
  type TableDraft,
} from './settle-weights.ts';
import type { PlannedSmoothing } from './smooth/planned-smoothing.ts';
import { surveyModel } from './survey-model.ts';
import { whyNoLinears } from './why-float.ts';

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
  const { opened, typed, index, facts, layers, tables: found } = surveyModel(model);
  const selected = selectSchemes(layers, recipe);
  const constants = constantValues(typed.graph);
  const drafts = layers.map((layer): LayerDraft => {
    const { node, weight } = layer;
    const wanted = withRounding(layer, selected.byLayer.get(layer.name)!, recipe);
    const possible = withinLimits(layer, wanted);
    const choice = withoutConstantInput(possible, layer.input, constants);
    const place = { body: bodyOf(opened, node), isReached: isReached(opened, layer) };
    return { layer, node, ...place, initializer: weight.initializer, choice };
  });
  const borrowed = borrowRanges(opened, layers, ranges);
  const known = new Map([
    ...ranges,
    ...[...borrowed].map(([{ input }, { range }]) => [input, range] as const),
  ]);
  requireRanges(drafts, known);
  for (const draft of drafts) {
    const choice = withRange(draft.choice, draft.layer.input, known);
    draft.choice = withinBody(
      draft.layer,
      saying(choice, borrowed.get(draft.layer)),
      draft,
      recipe,
    );
  }
  const tables = found.map((embedding): TableDraft => {
    const choice: SelectedScheme =
      recipe.embedding === 'int8' ? { scheme: 'w8a16' } : { scheme: 'float', reason: 'recipe' };
    return { embedding, node: embedding.node, initializer: embedding.name, choice };
  });
  leaveSharedFloat(index, [...drafts, ...tables]);
  const blockSizes = chooseBlockSizes(drafts, tables, recipe);
  leaveUnblockedFloat(drafts, tables, blockSizes);
  const nodeName = nodeNameMaker(typed.graph);
  const shared = { recipe, ranges: known, blockSizes, facts, nodeName };
  const planned = drafts.map((draft) => planLayer(draft, shared));
  const embeddings = tables.map((draft) => planEmbedding(draft, blockSizes));
  requireSomething(model, planned, embeddings, recipe);
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

/** Says of a layer with INT8 activations where its range was seen, when that was not in its own branch. */
function saying(choice: SelectedScheme, borrowed: BorrowedRange | undefined): SelectedScheme {
  if (!isCalibratedScheme(choice.scheme) || borrowed === undefined) return choice;
  return { ...choice, reason: `range of ${borrowed.from}` };
}

function requireRanges(drafts: readonly LayerDraft[], ranges: ActivationRanges): void {
  // What a Loop computes is never calibrated, so its layers do not count.
  const wanting = drafts.filter(
    ({ choice, isReached }) => isCalibratedScheme(choice.scheme) && isReached,
  );
  if (wanting.length === 0 || wanting.some(({ layer }) => ranges.has(layer.input))) return;
  throw new UsageError(
    `plan: no calibrated range for any of ${wanting.length} W8A8 layers ` +
      `(got ${ranges.size} ranges, expected "${wanting[0]!.layer.input}" among them). ` +
      'Calibrate this model first, or use recipe w8a16, which needs no ranges.',
  );
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
  { layer, choice, body }: LayerDraft,
  { recipe, ranges, blockSizes, facts, nodeName }: LayerContext,
): PlannedLayer {
  const { node, weight } = layer;
  const range = isCalibratedScheme(choice.scheme) ? ranges.get(layer.input) : undefined;
  return {
    name: layer.name,
    node: node.name === '' ? nodeName(layer.name) : node.name,
    op: node.opType,
    role: layer.role,
    scheme: choice.scheme,
    ...(choice.reason !== undefined && { reason: choice.reason }),
    ...(body !== undefined && { body: body.label }),
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
      : count + 4 * (blockSize === undefined ? channels * scaleSets(scheme) : count / blockSize);
  const planned = { initializer, dims, dataType, bytesBefore };
  if (scheme === 'float') return { ...planned, bytesAfter: bytesBefore };
  return { ...planned, bytesAfter: integerBytes, ...(blockSize !== undefined && { blockSize }) };
}

/** Products do not share scales, and a layer in two planes is two. */
function scaleSets(scheme: Scheme): number {
  return scheme === 'w8a8x2' ? 2 : 1;
}

function requireSomething(
  model: Model,
  layers: readonly PlannedLayer[],
  embeddings: readonly PlannedEmbedding[],
  recipe: Recipe,
): void {
  if (layers.some(({ scheme }) => scheme !== 'float')) return;
  if (embeddings.some(({ scheme }) => scheme !== 'float')) return;
  const reasons = [...new Set(layers.map(({ reason }) => reason ?? 'recipe'))].slice(0, 3);
  const found =
    layers.length === 0
      ? `no linear layer: ${whyNoLinears(model)}`
      : `${layers.length} linear layers, all left float: ${reasons.join('; ')}`;
  throw new UnsupportedError(
    `plan: recipe ${recipe.name} quantizes nothing in this model (got ${found}, expected at least ` +
      'one layer). See `autoglm inspect` for what the model holds.',
  );
}
