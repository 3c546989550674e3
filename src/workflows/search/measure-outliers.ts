import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { gatherBeforeCast } from '../../passes/gather-before-cast.ts';
import { runPasses } from '../../passes/pass.ts';
import {
  findOutliers,
  makePeakModel,
  type Outliers,
  type RowPeaks,
} from '../../quantize/inspect/outliers.ts';
import type { SearchGroup } from '../../quantize/search/search-group.ts';
import { findLinears } from '../../structure/find-linears.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { runByPart } from '../proof/run-tapped.ts';

/** Calibration samples that are run: a few show where the largest values sit. */
const SAMPLES = 4;

/**
 * Returns, for each group of layers that share an input, where the largest values of that input sit in a few
 * calibration samples of the float model; undefined for inputs of a Conv, whose last axis is no channel.
 */
export async function measureOutliers(
  source: ModelOnDisk,
  groups: readonly SearchGroup[],
  choice: DataChoice,
  reporter: Reporter,
): Promise<readonly (Outliers | undefined)[]> {
  const twin = runPasses(source.model, [convertToFloat32, gatherBeforeCast]);
  const products = findLinears(twin).filter(({ node }) => node.opType !== 'Conv');
  const inputOf = new Map(products.map(({ name, input }) => [name, input]));
  const values = groups.map(({ layers }) => inputOf.get(layers[0] ?? ''));
  const { model, peaks } = makePeakModel(
    twin,
    values.flatMap((value) => value ?? []),
  );
  const names = [...peaks.values()].flatMap(({ magnitude, channel }) => [magnitude, channel]);
  const seen = new Map<string, RowPeaks[]>([...peaks.keys()].map((value) => [value, []]));
  const samples = Math.min(choice.samples ?? SAMPLES, SAMPLES);
  const dataset = await openData({ ...choice, samples }, source);
  reporter.note(`outliers: looking for the largest inputs in ${samples} calibration samples`);
  for await (const sample of dataset.samples('calibration')) {
    const feeds = makeFeeds(feedInputs(twin.graph), sample, feedHints(source.model));
    const found = new Map<string, ArrayLike<number | bigint>>();
    for await (const part of runByPart(model, names, feeds, { like: twin })) {
      for (const [name, { data }] of part) found.set(name, data);
    }
    for (const [value, { magnitude, channel }] of peaks) {
      const magnitudes = Float32Array.from(found.get(magnitude) as ArrayLike<number>);
      seen.get(value)!.push({ magnitudes, channels: found.get(channel)! });
    }
  }
  return values.map((value) => (value === undefined ? undefined : findOutliers(seen.get(value)!)));
}
