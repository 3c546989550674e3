import { join } from 'node:path';
import { type FeedInput, feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Model } from '../../ir/model.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import type { SearchFigures } from '../../quantize/search/budget.ts';
import { chooseSchemes } from '../../quantize/search/choose-schemes.ts';
import type { SearchMeasurements } from '../../quantize/search/search-budget.ts';
import type { GroupChoice, SearchGroup } from '../../quantize/search/search-group.ts';
import { makeSwitchable, switchablePlan } from '../../quantize/search/switchable-model.ts';
import { saveModel } from '../../storage/model-file.ts';
import { applyQuantization } from '../../targets/onnx/apply.ts';
import { ONNXRUNTIME_LOWERING, TENSORRT_TWIN_LOWERING } from '../../targets/onnx/lowering.ts';
import { createWeightWorkerPool } from '../../workers/weight-worker-pool.ts';
import type { SearchCache } from './search-cache.ts';
import {
  type BenchRequest,
  type MakeFeeds,
  openWindowBench,
  type WindowBench,
} from './window-bench.ts';

/** What candidates are made from, and what they run on. */
export interface EvaluatorRequest extends BenchRequest {
  /** Every group as the recipe wants it. */
  readonly plan: QuantizationPlan;
  readonly groups: readonly SearchGroup[];
  /** A glance takes every so many-th window. */
  readonly glanceStride: number;
  readonly cache: SearchCache;
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
    bench ??= openWindowBench(request).then((open) => ({ ...open, switched: undefined }));
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
      await open?.close();
    },
  };
}

/** A bench, and the switched model while it is what the judge has open. */
interface Bench extends WindowBench {
  switched: { readonly inputs: readonly FeedInput[]; readonly switches: string } | undefined;
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
  return bench.compare(feedsOf, request.glanceStride);
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
  return bench.compare((sample, hints) => makeFeeds(inputs, sample, hints));
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

function keyOf(kind: 'glance' | 'artifact', choices: readonly GroupChoice[]): string {
  const letters = { planned: 'p', 'weight-only': 'w', float: 'f' } as const;
  return `${kind} ${choices.map((choice) => letters[choice]).join('')}`;
}
