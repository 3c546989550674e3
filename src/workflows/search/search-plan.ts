import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { GateFailedError, UnsupportedError, UsageError } from '../../errors.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import {
  describeBudget,
  describeFigures,
  meetsBudget,
  type SearchBudget,
} from '../../quantize/search/budget.ts';
import { chooseSchemes } from '../../quantize/search/choose-schemes.ts';
import { fallBack, rankGroups } from '../../quantize/search/rank-groups.ts';
import {
  type CurvePoint,
  type SearchOutcome,
  searchBudget,
} from '../../quantize/search/search-budget.ts';
import { describeSearch, type SearchFile } from '../../quantize/search/search-file.ts';
import {
  findSearchGroups,
  hasIntegerActivations,
  type SearchGroup,
} from '../../quantize/search/search-group.ts';
import { requireOnnxruntime } from '../../runners/onnxruntime/onnxruntime-package.ts';
import { VERSION } from '../../version.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { measureOutliers } from './measure-outliers.ts';
import { requireFigures } from './require-figures.ts';
import { openSearchCache } from './search-cache.ts';
import { openSearchEvaluator, type SearchEvaluator } from './search-evaluator.ts';

/** Held-out windows of text that a search runs; other samples are smaller, and more are needed. */
const TEXT_WINDOWS = 8;
const OTHER_WINDOWS = 256;

/** Groups are put in order on every fourth window, as long as that leaves two. */
const GLANCE_STRIDE = 4;

/** Shares of the groups that fall back at the points of a curve without a budget. */
const CURVE_SHARES = [0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1] as const;

/** What a search measures on, and where it keeps what it measured. */
export interface SearchPlace {
  /** Its `heldOutSamples` windows are run: 8 of text or 256 others when absent. */
  readonly choice: DataChoice;
  /** Folder that keeps evaluations for a search that is begun again. */
  readonly cacheFolder: string;
}

/** What a plan may lose, and what that is measured on. */
export interface SearchRequest extends SearchPlace {
  readonly budget: SearchBudget;
}

/** A plan to search in, with the model that it was made for. */
export interface SearchedModel {
  readonly source: ModelOnDisk;
  readonly plan: QuantizationPlan;
}

/**
 * Returns the plan that keeps most INT8 activations within a budget, measured on held-out windows, and
 * what was measured on the way. Throws {@link GateFailedError} with the best that was reached when
 * nothing holds.
 */
export async function searchPlan(
  { source, plan }: SearchedModel,
  request: SearchRequest,
  reporter: Reporter,
): Promise<{ readonly plan: QuantizationPlan; readonly search: SearchFile }> {
  const { budget } = request;
  refuseFourBits(plan);
  warnOfBodies(plan, reporter);
  const groups = findSearchGroups(source.model, plan);
  const count = groups.filter(hasIntegerActivations).length;
  const full = Math.ceil(Math.log2(Math.max(count, 1))) + 2;
  const expected = { full, glances: count + 1 };
  return withEvaluator({ source, plan, groups, expected }, request, reporter, async (bench) => {
    const outcome = await searchBudget(groups, bench.evaluator, (figures) => {
      requireFigures(budget, figures);
      return meetsBudget(budget, figures);
    });
    if (!outcome.met) throw notMet(budget, outcome);
    const chosen = chooseSchemes(source.model, plan, groups, outcome.choices);
    if (!quantizesAnything(chosen)) throw notMet(budget, outcome);
    const { data, evaluator } = bench;
    const evaluated = evaluator.evaluated.size;
    const recipe = plan.recipe.name;
    const outliers = await measureOutliers(source, groups, request.choice, reporter);
    const search = describeSearch({
      recipe,
      budget,
      data,
      evaluations: evaluated,
      groups,
      outliers,
      outcome,
    });
    return { plan: chosen, search };
  });
}

/** Returns how sensitive each group of layers is, and the curve between all and no INT8 activations. */
export async function rankSensitivity(
  { source, plan }: SearchedModel,
  place: SearchPlace,
  reporter: Reporter,
): Promise<SearchFile> {
  warnOfBodies(plan, reporter);
  const groups = findSearchGroups(source.model, plan);
  const count = groups.filter(hasIntegerActivations).length;
  if (count === 0) {
    throw new UsageError(
      `recipe ${plan.recipe.name}: gives no layer INT8 activations, so there is nothing to rank. ` +
        'Use a recipe such as w8a8.',
    );
  }
  const counts = [...new Set(CURVE_SHARES.map((share) => Math.ceil(share * count)))];
  const expected = { full: counts.length, glances: count + 1 };
  return withEvaluator({ source, plan, groups, expected }, place, reporter, async (bench) => {
    const { measure, glance, evaluated } = bench.evaluator;
    const ranking = await rankGroups(groups, glance);
    const curve: CurvePoint[] = [];
    for (const fallen of counts) {
      const choices = fallBack(groups, ranking, fallen, 'weight-only');
      curve.push({ choices, figures: await measure(choices) });
    }
    const { data } = bench;
    const outcome = { ranking, curve };
    const recipe = plan.recipe.name;
    const outliers = await measureOutliers(source, groups, place.choice, reporter);
    return describeSearch({ recipe, data, evaluations: evaluated.size, groups, outliers, outcome });
  });
}

interface Bench {
  readonly evaluator: SearchEvaluator;
  readonly data: { readonly sha256: string; readonly windows: number };
}

/** Opens the windows, the cache and an evaluator, and closes them whatever happens. */
async function withEvaluator<T>(
  request: SearchedModel & {
    readonly groups: readonly SearchGroup[];
    /** Evaluations that are expected, for the progress. */
    readonly expected: { readonly full: number; readonly glances: number };
  },
  { choice, cacheFolder }: SearchPlace,
  reporter: Reporter,
  use: (bench: Bench) => Promise<T>,
): Promise<T> {
  const { source, plan, groups, expected } = request;
  const dataset = await openWindows(choice, source);
  const windows = await dataset.count('heldOut');
  const sha256 = dataset.hash;
  const identity = {
    autoglm: VERSION,
    onnxruntime: requireOnnxruntime().version,
    model: await source.sha256(),
    plan,
    data: { sha256, windows },
  };
  const cache = await openSearchCache(cacheFolder, identity);
  const glanceStride = Math.max(1, Math.min(GLANCE_STRIDE, Math.floor(windows / 2)));
  const glanced = Math.ceil(windows / glanceStride);
  // The source's own run counts as one more.
  let total = (expected.full + 1) * windows + expected.glances * glanced;
  let done = 0;
  // Giving up INT8 weights, too, takes more than was expected: how much, nobody knows.
  const progress = (): void =>
    reporter.progress({
      task: 'search',
      done,
      total: done < total ? total : undefined,
      unit: 'windows',
    });
  const evaluator = openSearchEvaluator({
    source,
    plan,
    groups,
    dataset,
    glanceStride,
    cache,
    onWindow: () => {
      done++;
      progress();
    },
    onCached: (isGlance) => {
      total -= isGlance ? glanced : windows;
    },
  });
  try {
    const result = await use({ evaluator, data: { sha256, windows } });
    if (done > 0) reporter.progress({ task: 'search', done, total: done, unit: 'windows' });
    return result;
  } finally {
    await evaluator.close();
  }
}

async function openWindows(
  choice: DataChoice,
  source: ModelOnDisk,
): Promise<Awaited<ReturnType<typeof openData>>> {
  if (choice.heldOutSamples !== undefined) return openData(choice, source);
  const { kind } = await openData(choice, source);
  const heldOutSamples = kind === 'text' ? TEXT_WINDOWS : OTHER_WINDOWS;
  return openData({ ...choice, heldOutSamples }, source);
}

/**
 * Throws UnsupportedError for a plan with 4-bit weights: their rounding depends on what was rounded before,
 * so no layer stands for itself.
 */
export function refuseFourBits({ recipe, layers }: QuantizationPlan): void {
  if (layers.every(({ scheme }) => scheme !== 'w4a16')) return;
  throw new UnsupportedError(
    `recipe ${recipe.name}: a budget is searched among INT8 weights (got 4-bit weights). Use w8a8, or no budget.`,
  );
}

/** Throws UnsupportedError when a search has nothing to choose: all quantized layers lie in bodies. */
export function refuseBodies(plan: QuantizationPlan): void {
  const quantized = plan.layers.filter(({ scheme }) => scheme !== 'float');
  const [first] = quantized;
  if (first === undefined || quantized.some(({ body }) => body === undefined)) return;
  throw new UnsupportedError(
    `recipe ${plan.recipe.name}: a budget is searched among layers of the main graph (got ${quantized.length} quantized ` +
      `layers, all in bodies such as ${first.body}). Use another recipe or rules, and check what comes of it.`,
  );
}

function warnOfBodies({ layers }: QuantizationPlan, reporter: Reporter): void {
  const inner = layers.filter(({ scheme, body }) => scheme !== 'float' && body !== undefined);
  if (inner.length === 0) return;
  reporter.warn(
    `${inner.length} layers in bodies (${inner[0]!.body}) are not searched: they stay as the recipe has them.`,
  );
}

function quantizesAnything({ layers, embeddings }: QuantizationPlan): boolean {
  return [...layers, ...embeddings].some(({ scheme }) => scheme !== 'float');
}

function notMet(budget: SearchBudget, { figures }: SearchOutcome): GateFailedError {
  return new GateFailedError(
    `search: no plan that quantizes anything holds the budget (got ${describeFigures(figures)} with linear layers in ` +
      `float, expected ${describeBudget(budget)}). Allow more, or leave the embedding float in the recipe.`,
  );
}
