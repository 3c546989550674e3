import { join } from 'node:path';
import { type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Model } from '../../ir/model.ts';
import { countsOf } from '../../prune/amount-steps.ts';
import type { ScoredGroups } from '../../prune/plan-pruning.ts';
import type { PruneSettings } from '../../prune/prune-settings.ts';
import type { PruningPlan } from '../../prune/pruning-plan.ts';
import type { SearchFigures } from '../../quantize/search/budget.ts';
import { requireOnnxruntime } from '../../runners/onnxruntime/onnxruntime-package.ts';
import { saveModel } from '../../storage/model-file.ts';
import { VERSION } from '../../version.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { runnableFile } from '../proof/float32-twin.ts';
import { openSearchCache } from './search-cache.ts';
import { openWindowBench, type WindowBench } from './window-bench.ts';

/** What plans are made of, and what their models are measured on. */
export interface PrunedBenchRequest {
  readonly source: ModelOnDisk;
  readonly settings: PruneSettings;
  readonly scored: ScoredGroups;
  /** Its held-out samples are run for every plan. */
  readonly choice: DataChoice;
  /** Keeps what was measured for a search that is begun again. */
  readonly cacheFolder: string;
  /** Returns the model that a plan leaves, as it would be written. */
  prunedBy(plan: PruningPlan): Promise<Model>;
}

/** Measures pruned models against their source. */
export interface PrunedBench {
  readonly windows: number;
  measure(plan: PruningPlan): Promise<SearchFigures>;
  close(): Promise<void>;
}

/** Opens a bench for some `trials` plans. The source runs when the first is measured that the cache does not know. */
export async function openPrunedBench(
  request: PrunedBenchRequest,
  task: { readonly name: string; readonly trials: number },
  reporter: Reporter,
): Promise<PrunedBench> {
  const { source, settings, scored, choice, cacheFolder } = request;
  const dataset = await openData(choice, source);
  const windows = await dataset.count('heldOut');
  const cache = await openSearchCache(cacheFolder, {
    autoglm: VERSION,
    onnxruntime: requireOnnxruntime().version,
    model: await source.sha256(),
    settings,
    importance: scored.importance,
    data: { ...choice, sha256: dataset.hash, windows },
  });
  let done = 0;
  const onWindow = (): void => {
    done++;
    const total = Math.max(done, (task.trials + 1) * windows);
    reporter.progress({ task: task.name, done, total, unit: 'windows' });
  };
  let opened: Promise<WindowBench> | undefined;
  return {
    windows,
    async measure(plan) {
      const key = countsOf(plan);
      const known = cache.get(key);
      if (known !== undefined) return known;
      opened ??= openWindowBench({ source, dataset, onWindow });
      const figures = await run(await opened, await request.prunedBy(plan));
      await cache.put(key, figures);
      return figures;
    },
    close: async () => (await opened?.catch(() => undefined))?.close(),
  };
}

async function run(bench: WindowBench, pruned: Model): Promise<SearchFigures> {
  const path = join(bench.folder, 'candidate.onnx');
  await saveModel(pruned, path);
  const written = await openModelOnDisk(path);
  await bench.judge.open(await runnableFile(written, bench.folder), { device: 'cpu' });
  const inputs = feedInputs(pruned.graph);
  return bench.compare((sample, hints) => makeFeeds(inputs, sample, hints));
}
