import { join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { type FeedHints, type FeedInput, feedInputs } from '../../calibrate/feed-input.ts';
import { asFed, makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Dataset, Sample } from '../../calibrate/sample.ts';
import { asMisfit, UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import {
  type LogitSums,
  mergeLogitSums,
  NO_LOGIT_SUMS,
  NO_TARGET,
} from '../../numerics/logit-reference.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import type { SearchFigures } from '../../quantize/search/budget.ts';
import { chooseSchemes } from '../../quantize/search/choose-schemes.ts';
import type { SearchMeasurements } from '../../quantize/search/search-budget.ts';
import type { GroupChoice, SearchGroup } from '../../quantize/search/search-group.ts';
import { makeSwitchable, switchablePlan } from '../../quantize/search/switchable-model.ts';
import { saveModel } from '../../storage/model-file.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { applyQuantization } from '../../targets/onnx/apply.ts';
import { ONNXRUNTIME_LOWERING, TENSORRT_TWIN_LOWERING } from '../../targets/onnx/lowering.ts';
import type { Feeds } from '../../values/tensor-value.ts';
import { createWeightWorkerPool } from '../../workers/weight-worker-pool.ts';
import { feedHints } from '../project/open-data.ts';
import { runnableFile } from '../proof/float32-twin.ts';
import { type LogitJudge, startLogitJudge } from './logit-judge.ts';
import type { SearchCache } from './search-cache.ts';

/** What candidates are made from, and what they run on. */
export interface EvaluatorRequest {
  readonly source: ModelOnDisk;
  /** Every group as the recipe wants it. */
  readonly plan: QuantizationPlan;
  readonly groups: readonly SearchGroup[];
  /** Its held-out split is what is run. */
  readonly dataset: Dataset;
  /** A glance takes every so many-th window. */
  readonly glanceStride: number;
  readonly cache: SearchCache;
  /** Called for each window that was run. */
  readonly onWindow: () => void;
  /** Called for each evaluation that the cache already had. */
  readonly onCached: (isGlance: boolean) => void;
}

/** Evaluates choices of groups on held-out windows. */
export interface SearchEvaluator extends SearchMeasurements {
  /** Evaluations answered so far, each once. */
  readonly evaluated: ReadonlySet<string>;
  close(): Promise<void>;
}

/** Files that exist at once besides the references: one candidate. */
const CANDIDATE = 'candidate.onnx';

/**
 * Returns an evaluator. Nothing is run before something is asked that the cache does not know. The
 * source runs once; its logits stay on disk. The switched model is written and loaded once and
 * serves every glance until an artifact takes its place.
 */
export function openSearchEvaluator(request: EvaluatorRequest): SearchEvaluator {
  const { cache } = request;
  const evaluated = new Set<string>();
  let bench: Promise<Bench> | undefined;
  const cached = async (
    key: string,
    run: (bench: Bench) => Promise<SearchFigures>,
  ): Promise<SearchFigures> => {
    evaluated.add(key);
    const known = cache.get(key);
    if (known !== undefined) {
      request.onCached(key.startsWith('glance'));
      return known;
    }
    bench ??= openBench(request);
    const figures = await run(await bench);
    await cache.put(key, figures);
    return figures;
  };
  return {
    evaluated,
    glance: (choices) =>
      cached(keyOf('glance', choices), (open) => simulate(open, request, choices)),
    measure: (choices) =>
      cached(keyOf('artifact', choices), (open) => measure(open, request, choices)),
    close: async () => {
      const open = await bench?.catch(() => undefined);
      await open?.judge.close();
      if (open !== undefined) await removeTemporaryFolder(open.folder);
    },
  };
}

/** A running judge that has the source's logits. */
interface Bench {
  readonly folder: string;
  readonly judge: LogitJudge;
  readonly output: string;
  /** The switched model, while it is what the judge has open. */
  switched: { readonly inputs: readonly FeedInput[]; readonly switches: string } | undefined;
}

async function openBench(request: EvaluatorRequest): Promise<Bench> {
  const { source, dataset } = request;
  const folder = await makeScratchFolder(source.model);
  const judge = startLogitJudge(folder);
  try {
    const outputs = await judge.open(await runnableFile(source, folder), { device: 'cpu' });
    const output = findLogits(outputs, dataset);
    const inputs = feedInputs(source.model.graph);
    const hints = feedHints(source.model);
    let index = 0;
    for await (const sample of dataset.samples('heldOut')) {
      const feeds = makeFeeds(inputs, sample, hints);
      await judge
        .keep({ index, feeds, output }, targetsOf(asFed(sample, feeds)))
        .catch((error: unknown) => {
          throw asMisfit(error, source.path, index);
        });
      index++;
      request.onWindow();
    }
    if (index === 0) throw noWindow(dataset);
    return { folder, judge, output, switched: undefined };
  } catch (error) {
    await judge.close();
    await removeTemporaryFolder(folder);
    throw error;
  }
}

/** Returns the error of a data set without anything to search on. */
export function noWindow({ path }: Pick<Dataset, 'path'>): UsageError {
  return new UsageError(
    `${path}: has no held-out sample to search on (got 0, expected at least 1). Add files under "heldOut".`,
  );
}

async function simulate(
  bench: Bench,
  request: EvaluatorRequest,
  choices: readonly GroupChoice[],
): Promise<SearchFigures> {
  bench.switched ??= await openSwitched(bench, request);
  const { inputs, switches } = bench.switched;
  const data = Uint8Array.from(choices, (choice) => Number(choice === 'planned'));
  const value = { dataType: 'bool', dims: [data.length], data } as const;
  const own = inputs.filter(({ name }) => name !== switches);
  const feedsOf: MakeFeeds = (sample, hints) =>
    new Map([...makeFeeds(own, sample, hints), [switches, value]]);
  return runWindows(bench, request, feedsOf, request.glanceStride);
}

async function openSwitched(
  { folder, judge }: Bench,
  request: EvaluatorRequest,
): Promise<NonNullable<Bench['switched']>> {
  const { source, plan, groups } = request;
  const base = switchablePlan(source.model, plan, groups);
  return withQuantized(source.model, base, async (quantized) => {
    const { model, switches } = makeSwitchable(quantized, plan, groups);
    const path = join(folder, CANDIDATE);
    await saveModel(model, path);
    // Weights become float constants when the model is loaded, not in every run.
    await judge.open(path, { device: 'cpu', config: { 'session.disable_quant_qdq': '1' } });
    return { inputs: feedInputs(model.graph), switches };
  });
}

async function measure(
  bench: Bench,
  request: EvaluatorRequest,
  choices: readonly GroupChoice[],
): Promise<SearchFigures> {
  const { source, plan, groups } = request;
  bench.switched = undefined;
  const chosen = chooseSchemes(source.model, plan, groups, choices);
  const inputs = await withQuantized(source.model, chosen, async (model) => {
    const path = join(bench.folder, CANDIDATE);
    await saveModel(model, path);
    await bench.judge.open(path, { device: 'cpu' });
    return feedInputs(model.graph);
  });
  return runWindows(bench, request, (sample, hints) => makeFeeds(inputs, sample, hints));
}

async function withQuantized<T>(
  model: Model,
  plan: QuantizationPlan,
  use: (quantized: Model) => Promise<T>,
): Promise<T> {
  const kernel = createWeightWorkerPool();
  const isFloat16 = plan.recipe.activations.dtype === 'float16';
  const lowering = isFloat16 ? TENSORRT_TWIN_LOWERING : ONNXRUNTIME_LOWERING;
  try {
    return await use(applyQuantization(model, plan, { lowering, kernel }));
  } finally {
    await kernel.close();
  }
}

type MakeFeeds = (sample: Sample, hints: FeedHints) => Feeds;

async function runWindows(
  { judge, output }: Bench,
  { source, dataset, onWindow }: EvaluatorRequest,
  feedsOf: MakeFeeds,
  stride = 1,
): Promise<SearchFigures> {
  const hints = feedHints(source.model);
  let sums = NO_LOGIT_SUMS;
  let index = 0;
  for await (const sample of dataset.samples('heldOut')) {
    const window = index++;
    if (window % stride !== 0) continue;
    const found = await judge.compare({ index: window, feeds: feedsOf(sample, hints), output });
    sums = mergeLogitSums(sums, found);
    onWindow();
  }
  return summarize(sums, dataset.kind === 'text');
}

function summarize(sums: LogitSums, isText: boolean): SearchFigures {
  const { rows, klNats, agreements, judged } = sums;
  const kl = klNats / rows;
  const ratio = Math.exp((sums.candidateNll - sums.referenceNll) / judged);
  return {
    positions: rows,
    klNats: Number.isFinite(kl) ? kl : null,
    agreement: agreements / rows,
    perplexityRatio: isText && Number.isFinite(ratio) ? ratio : null,
    dropPoints: judged === 0 ? null : (100 * (sums.referenceRight - sums.candidateRight)) / judged,
  };
}

/** The right class per row of logits: the next token of the same text, the label of anything else. */
function targetsOf({ values, label }: Sample): Int32Array {
  const ids = values.get('input_ids');
  if (ids === undefined) return Int32Array.of(label ?? NO_TARGET);
  const length = ids.dims.at(-1) ?? 1;
  return Int32Array.from({ length: ids.data.length }, (_, index) =>
    (index + 1) % length === 0 ? NO_TARGET : Number(ids.data[index + 1]),
  );
}

/**
 * Returns the output called logits or, of a model with a single one for labelled data, that one. Throws
 * UsageError when there is neither.
 */
export function findLogits(
  outputs: readonly { readonly name: string }[],
  dataset: Pick<Dataset, 'hasLabels'>,
): string {
  const named = outputs.find(({ name }) => name.toLowerCase().includes('logits'));
  if (named !== undefined) return named.name;
  const [only, ...others] = outputs;
  if (only !== undefined && others.length === 0 && dataset.hasLabels) return only.name;
  throw new UsageError(
    `search: the model has no logits to compare (got outputs ${outputs.map(({ name }) => name).join(', ')}, ` +
      'expected one named logits). Choose layers by the rules of a recipe.',
  );
}

function keyOf(kind: 'glance' | 'artifact', choices: readonly GroupChoice[]): string {
  const letters = { planned: 'p', 'weight-only': 'w', float: 'f' } as const;
  return `${kind} ${choices.map((choice) => letters[choice]).join('')}`;
}
