import { join } from 'node:path';
import { type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import { GateFailedError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { amountSteps, countsOf, findMost } from '../../prune/amount-steps.ts';
import type { ScoredGroups } from '../../prune/plan-pruning.ts';
import type { PruneSettings } from '../../prune/prune-settings.ts';
import type { AmountPoint, PruningPlan } from '../../prune/pruning-plan.ts';
import {
  describeBudget,
  describeFigures,
  meetsBudget,
  type SearchBudget,
  type SearchFigures,
} from '../../quantize/search/budget.ts';
import { requireOnnxruntime } from '../../runners/onnxruntime/onnxruntime-package.ts';
import { saveModel } from '../../storage/model-file.ts';
import { VERSION } from '../../version.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { runnableFile } from '../proof/float32-twin.ts';
import { requireFigures } from './require-figures.ts';
import { openSearchCache } from './search-cache.ts';
import { openWindowBench, type WindowBench } from './window-bench.ts';

/** What may go, what it may cost, and what that is measured on. */
export interface AmountRequest {
  readonly source: ModelOnDisk;
  readonly settings: PruneSettings;
  readonly scored: ScoredGroups;
  readonly budget: SearchBudget;
  /** All its held-out samples are run for every share that is tried. */
  readonly choice: DataChoice;
  /** Keeps what was measured for a search that is begun again. */
  readonly cacheFolder: string;
  /** Returns the model that a plan leaves, as it would be written. */
  prunedBy(plan: PruningPlan): Promise<Model>;
}

/**
 * Returns the plan of the largest share that holds the budget, with every share that was measured, smallest first. Throws
 * GateFailedError when the smallest step does not hold.
 */
export async function searchAmount(
  request: AmountRequest,
  reporter: Reporter,
): Promise<PruningPlan> {
  const { source, settings, scored, budget, choice, cacheFolder } = request;
  const steps = amountSteps(scored, settings);
  const dataset = await openData(choice, source);
  const windows = await dataset.count('heldOut');
  const cache = await openSearchCache(cacheFolder, {
    autoglm: VERSION,
    onnxruntime: requireOnnxruntime().version,
    model: await source.sha256(),
    settings,
    importance: scored.importance,
    data: { path: choice.data, sha256: dataset.hash, windows, ...choice },
  });
  const trials = Math.ceil(Math.log2(steps.length + 1));
  let done = 0;
  const onWindow = (): void => {
    done++;
    const total = (trials + 1) * windows;
    reporter.progress({ task: 'search', done, total: Math.max(done, total), unit: 'windows' });
  };
  let opened: Promise<WindowBench> | undefined;
  const points: AmountPoint[] = [];
  const measure = async (plan: PruningPlan): Promise<SearchFigures> => {
    const key = countsOf(plan);
    const known = cache.get(key);
    if (known !== undefined) return known;
    opened ??= openWindowBench({ source, dataset, onWindow });
    const figures = await run(await opened, await request.prunedBy(plan));
    await cache.put(key, figures);
    return figures;
  };
  try {
    const found = await findMost(steps, async (plan) => {
      const figures = await measure(plan);
      requireFigures(budget, figures);
      points.push({ amount: plan.amount, counts: countsOf(plan), figures });
      return meetsBudget(budget, figures);
    });
    if (found === undefined) throw notMet(budget, steps, points);
    const curve = [...points].sort((a, b) => a.amount - b.amount);
    return { ...found, search: { budget: describeBudget(budget), windows, curve } };
  } finally {
    await (await opened?.catch(() => undefined))?.close();
  }
}

async function run(bench: WindowBench, pruned: Model): Promise<SearchFigures> {
  const path = join(bench.folder, 'candidate.onnx');
  await saveModel(pruned, path);
  const written = await openModelOnDisk(path);
  await bench.judge.open(await runnableFile(written, bench.folder), { device: 'cpu' });
  const inputs = feedInputs(pruned.graph);
  return bench.compare((sample, hints) => makeFeeds(inputs, sample, hints));
}

function notMet(
  budget: SearchBudget,
  steps: readonly PruningPlan[],
  points: readonly AmountPoint[],
): GateFailedError {
  const [smallest] = [...points].sort((a, b) => a.amount - b.amount);
  if (smallest === undefined || steps.length === 0) {
    return new GateFailedError(
      'prune: there is no step to take: every width and head count is the smallest already. Use --exact or --align 1.',
    );
  }
  return new GateFailedError(
    `prune: no share holds the limits (got ${describeFigures(smallest.figures)} with the smallest step, ` +
      `${(100 * smallest.amount).toFixed(1)} %, expected ${describeBudget(budget)}). Allow more, or protect layers.`,
  );
}
