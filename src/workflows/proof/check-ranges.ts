import { join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { Dataset, Sample } from '../../calibrate/sample.ts';
import { tapValues } from '../../calibrate/tap-values.ts';
import { type RangeCheck, type SampleReach, summarizeReach } from '../../check/range-check.ts';
import { viewGraph } from '../../passes/graph-view.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import { saveModel } from '../../storage/model-file.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { findCalibratedInputs } from '../../targets/onnx/calibrated-inputs.ts';
import { makeReachModel } from '../../targets/onnx/reach-model.ts';
import { toFloat32 } from '../../values/element-array.ts';
import type { Feeds } from '../../values/tensor-value.ts';

/** Samples that are looked at: of every kind of text, or of all where none are named. */
const OF_EACH_DOMAIN = 2;
const OF_ALL = 8;

/**
 * Returns how often a few held-out samples leave the ranges that an artifact was calibrated to, as the artifact itself
 * computes them; null for one without calibrated ranges.
 */
export async function checkRanges(
  artifact: ModelOnDisk,
  dataset: Dataset,
  feedsOf: (sample: Sample) => Feeds,
): Promise<RangeCheck | null> {
  const view = viewGraph(artifact.model);
  const inputs = findCalibratedInputs(artifact.model).filter(
    ({ value }) => view.facts(value).dataType === 'float32',
  );
  if (inputs.length === 0) return null;
  const { model, reach } = makeReachModel(artifact.model, inputs);
  const tapped = tapValues(model, [...reach.values()]);
  const folder = await makeScratchFolder(tapped);
  try {
    const path = join(folder, 'reach.onnx');
    await saveModel(tapped, path, { referenceWeights: true });
    const session = await onnxruntimeRunner.load(path, { device: 'cpu' });
    try {
      const seen: SampleReach[] = [];
      for await (const sample of someOfEach(dataset)) {
        const feeds = feedsOf(sample);
        const values = await session.run(feeds, [...reach.values()]);
        const rows = [...reach].map(([layer, name]): [string, Float32Array] => [
          layer,
          toFloat32(values.get(name)!),
        ]);
        seen.push({ domain: sample.domain, reach: new Map(rows) });
      }
      return summarizeReach(seen);
    } finally {
      await session.close();
    }
  } finally {
    await removeTemporaryFolder(folder);
  }
}

async function* someOfEach(dataset: Dataset): AsyncGenerator<Sample> {
  const taken = new Map<string | undefined, number>();
  for await (const sample of dataset.samples('heldOut')) {
    const count = taken.get(sample.domain) ?? 0;
    if (count >= (sample.domain === undefined ? OF_ALL : OF_EACH_DOMAIN)) continue;
    taken.set(sample.domain, count + 1);
    yield sample;
  }
}
