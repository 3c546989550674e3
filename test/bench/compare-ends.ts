/** Runs the first and the last layer of a model and of what was made of it, and compares them. */

import { openModelOnDisk } from '../../src/artifact/model-on-disk.ts';
import { feedHints } from '../../src/calibrate/feed-hints.ts';
import { feedInputs } from '../../src/calibrate/feed-input.ts';
import { makeFeeds } from '../../src/calibrate/make-feeds.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { tapValues } from '../../src/calibrate/tap-values.ts';
import type { Model } from '../../src/ir/model.ts';
import { compareArrays, cosine, sqnrDecibels } from '../../src/numerics/similarity.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { gatherBeforeCast } from '../../src/passes/gather-before-cast.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { findBlocks } from '../../src/structure/find-blocks.ts';
import { toFloat32 } from '../../src/values/element-array.ts';
import type { Feeds, TensorValue } from '../../src/values/tensor-value.ts';
import { openData } from '../../src/workflows/project/open-data.ts';
import { runTapped } from '../../src/workflows/proof/run-tapped.ts';

/** What a layer adds to the residual stream, in the artifact against the source. */
export interface LayerComparison {
  readonly name: string;
  readonly cosine: number;
  readonly sqnr: number;
}

/** A transformer layer: attention and FFN between two values of the residual stream. */
interface Layer {
  readonly name: string;
  readonly input: string;
  readonly output: string;
}

/**
 * Runs the source as its float32 twin, layer by layer, and of the artifact, as onnxruntime optimises it, the
 * first layer from token ids and the last from what enters that of the source.
 */
export async function compareEnds(
  sourcePath: string,
  artifactPath: string,
  choice: { readonly data: string; readonly sequenceLength: number },
): Promise<readonly LayerComparison[]> {
  const source = await openModelOnDisk(sourcePath);
  const twin = runPasses(source.model, [convertToFloat32, gatherBeforeCast]);
  const dataset = await openData({ ...choice, samples: 1 }, source);
  for await (const sample of dataset.samples('calibration')) {
    const blocks = findBlocks(twin);
    const [first, last] = [layerOf(blocks, 0), layerOf(blocks, blocks.at(-1)!.index)];
    const ends = [first.input, first.output, last.input, last.output];
    const expected = await runTapped(twin, ends, feedsOf(twin, sample));
    const artifact = await openModel(artifactPath);
    const feeds = feedsOf(artifact, sample);
    return [
      compare(first, expected, await runFirst(artifact, first, feeds)),
      compare(last, expected, await runLast(artifact, last, feeds, expected.get(last.input)!)),
    ];
  }
  throw new Error(`${choice.data}: no sample`);
}

function feedsOf(model: Model, sample: Sample): Feeds {
  return makeFeeds(feedInputs(model.graph), sample, feedHints(model));
}

function layerOf(blocks: ReturnType<typeof findBlocks>, index: number): Layer {
  const own = blocks.filter((block) => block.index === index);
  return { name: `layer ${index}`, input: own[0]!.input, output: own.at(-1)!.output };
}

function runFirst(model: Model, { input, output }: Layer, feeds: Feeds): Promise<Feeds> {
  return runTapped(model, [input, output], feeds, { optimization: 'all' });
}

/** `entry` stands in for all that comes before the layer. */
async function runLast(
  model: Model,
  { input, output }: Layer,
  feeds: Feeds,
  entry: TensorValue,
): Promise<Feeds> {
  const { graph } = model;
  const cut: Model = {
    ...model,
    graph: {
      ...graph,
      nodes: graph.nodes.filter(({ outputs }) => !outputs.includes(input)),
      inputs: [...graph.inputs, { name: input, type: { kind: 'tensor', dataType: 'float32' } }],
    },
  };
  const known = new Map(feeds).set(input, entry);
  const tapped = tapValues(cut, [output]);
  const values = await runTapped(tapped, [output], known, { optimization: 'all' });
  return new Map(values).set(input, entry);
}

function compare({ name, input, output }: Layer, expected: Feeds, actual: Feeds): LayerComparison {
  const added = (values: Feeds): Float32Array => {
    const before = toFloat32(values.get(input)!);
    return toFloat32(values.get(output)!).map((value, index) => value - before[index]!);
  };
  const similarity = compareArrays(added(expected), added(actual));
  return { name, cosine: cosine(similarity), sqnr: sqnrDecibels(similarity) };
}
