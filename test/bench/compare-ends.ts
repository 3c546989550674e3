/** Runs the first and the last layer of a model and of what was made of it, and compares them. */
import { toFloat32 } from '../../src/calibrate/element-array.ts';
import { feedInputs, makeFeeds } from '../../src/calibrate/make-feeds.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { tapValues } from '../../src/calibrate/tap-values.ts';
import type { Model } from '../../src/ir/model.ts';
import { compareArrays, cosine, sqnrDecibels } from '../../src/numerics/similarity.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { findBlocks } from '../../src/passes/find-blocks.ts';
import { gatherBeforeCast } from '../../src/passes/gather-before-cast.ts';
import { runPasses } from '../../src/passes/pass.ts';
import type { Feeds, TensorValue } from '../../src/runners/runner.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { openModelOnDisk } from '../../src/workflows/model-identity.ts';
import { feedHints, openData } from '../../src/workflows/open-data.ts';
import { runTapped, type TapOptions } from '../../src/workflows/run-tapped.ts';

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

/** A model, how it is run, and the values that it knows. */
interface Side {
  readonly model: Model;
  readonly options: TapOptions;
  readonly feeds: Feeds;
}

/**
 * Runs the first layer of two models from token ids, and their last from what the source's first layer gives:
 * that is what enters it when the layers in between are zeros. The source runs as its float32 twin, the
 * artifact as onnxruntime optimises it.
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
    const float = sideOf(twin, sample, {});
    const integer = sideOf(await openModel(artifactPath), sample, { optimization: 'all' });
    const blocks = findBlocks(twin);
    const [first, last] = [layerOf(blocks, 0), layerOf(blocks, blocks.at(-1)!.index)];
    const [expected, actual] = [await runFrom(float, first), await runFrom(integer, first)];
    const entry = expected.get(first.output)!;
    return [
      compare(first, expected, actual),
      compare(last, await runFrom(float, last, entry), await runFrom(integer, last, entry)),
    ];
  }
  throw new Error(`${choice.data}: no sample`);
}

function sideOf(model: Model, sample: Sample, options: TapOptions): Side {
  const feeds = makeFeeds(feedInputs(model.graph), sample, feedHints(model));
  return { model, options, feeds };
}

function layerOf(blocks: ReturnType<typeof findBlocks>, index: number): Layer {
  const own = blocks.filter((block) => block.index === index);
  return { name: `layer ${index}`, input: own[0]!.input, output: own.at(-1)!.output };
}

/** Returns input and output of a layer; `entry` stands in for all that comes before it. */
async function runFrom(side: Side, layer: Layer, entry?: TensorValue): Promise<Feeds> {
  const { input, output } = layer;
  if (entry === undefined) return runTapped(side.model, [input, output], side.feeds, side.options);
  const { graph } = side.model;
  const cut: Model = {
    ...side.model,
    graph: {
      ...graph,
      nodes: graph.nodes.filter(({ outputs }) => !outputs.includes(input)),
      inputs: [...graph.inputs, { name: input, type: { kind: 'tensor', dataType: 'float32' } }],
    },
  };
  const feeds = new Map(side.feeds).set(input, entry);
  const values = await runTapped(tapValues(cut, [output]), [output], feeds, side.options);
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
