import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import { type FeedHints, feedInputs } from '../../calibrate/feed-input.ts';
import { asFed, makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Dataset, Sample } from '../../calibrate/sample.ts';
import { asMisfit, UsageError } from '../../errors.ts';
import {
  type LogitSums,
  mergeLogitSums,
  NO_LOGIT_SUMS,
  NO_TARGET,
} from '../../numerics/logit-reference.ts';
import type { SearchFigures } from '../../quantize/search/budget.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import type { Feeds } from '../../values/tensor-value.ts';
import { runnableFile } from '../proof/float32-twin.ts';
import { type LogitJudge, startLogitJudge } from './logit-judge.ts';

/** What models are compared with, on which samples. */
export interface BenchRequest {
  readonly source: ModelOnDisk;
  /** Its held-out split is what is run. */
  readonly dataset: Dataset;
  /** Called for each window that was run. */
  readonly onWindow: () => void;
}

/** Feeds of a sample for the model that the judge has open. */
export type MakeFeeds = (sample: Sample, hints: FeedHints) => Feeds;

/** A judge that has the source's logits for every held-out window. */
export interface WindowBench {
  /** Room for one model beside the references; goes with the bench. */
  readonly folder: string;
  readonly judge: LogitJudge;
  /** Runs the model that the judge has open on every `stride`-th window, by default on all. */
  compare(feedsOf: MakeFeeds, stride?: number): Promise<SearchFigures>;
  close(): Promise<void>;
}

/**
 * Runs the source on all held-out windows and returns what other models are compared with. Throws UsageError for a model
 * without logits, for data without windows and for windows that the model does not take.
 */
export async function openWindowBench(request: BenchRequest): Promise<WindowBench> {
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
    return {
      folder,
      judge,
      compare: (feedsOf, stride = 1) => runWindows({ judge, output }, request, feedsOf, stride),
      close: async () => {
        await judge.close();
        await removeTemporaryFolder(folder);
      },
    };
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

async function runWindows(
  { judge, output }: { readonly judge: LogitJudge; readonly output: string },
  { source, dataset, onWindow }: BenchRequest,
  feedsOf: MakeFeeds,
  stride: number,
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
