import { join } from 'node:path';
import { cutModel, type ModelPart } from '../../calibrate/cut-model.ts';
import { PART_BYTES, WHOLE_MODEL_BYTES } from '../../calibrate/part-limits.ts';
import { tapValues } from '../../calibrate/tap-values.ts';
import { initializerBytes } from '../../ir/constants.ts';
import type { Model } from '../../ir/model.ts';
import { bytesInFloat32 } from '../../passes/widen-type.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import type { LoadOptions } from '../../runners/runner.ts';
import { saveModel } from '../../storage/model-file.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import type { Feeds, TensorValue } from '../../values/tensor-value.ts';

/** How {@link runTapped} runs a model. */
export interface TapOptions {
  /** Models with more bytes of constants (as float32) are run block by block; 512 MiB when absent. */
  readonly wholeModelBytes?: number;
  /** A model of the same value names in which blocks are recognised, when they are not in this one. */
  readonly like?: Model;
  /** `disabled` when absent: the values are those of the graph as it is written. */
  readonly optimization?: LoadOptions['optimization'];
}

/**
 * Runs a model once on the CPU and returns the values `names`. A large model is run block by block, so
 * that memory does not grow with it; with graph optimisation off the bits are the same.
 */
export async function runTapped(
  model: Model,
  names: readonly string[],
  feeds: Feeds,
  options: TapOptions = {},
): Promise<Feeds> {
  const found = new Map<string, TensorValue>();
  for await (const values of runByPart(model, names, feeds, options)) {
    for (const [name, value] of values) found.set(name, value);
  }
  return new Map(names.map((name) => [name, found.get(name)!]));
}

/** Does what {@link runTapped} does, and yields those of the values that each part of the model makes. */
export async function* runByPart(
  model: Model,
  names: readonly string[],
  feeds: Feeds,
  options: TapOptions = {},
): AsyncGenerator<Feeds> {
  const { wholeModelBytes = WHOLE_MODEL_BYTES, like, optimization = 'disabled' } = options;
  const isLarge = initializerBytes(model.graph, bytesInFloat32) > wholeModelBytes;
  const partBytes = Math.min(PART_BYTES, wholeModelBytes);
  const parts = isLarge ? cutModel(model, names, partBytes, like) : undefined;
  const known = new Map(feeds);
  for (const part of parts ?? [wholePart(model, names, feeds)]) {
    const values = await runPart(part, known, optimization);
    for (const name of part.boundary) known.set(name, values.get(name)!);
    yield new Map(part.outputs.map((name) => [name, values.get(name)!]));
  }
}

function wholePart(model: Model, names: readonly string[], feeds: Feeds): ModelPart {
  const inputs = [...feeds.keys()];
  return { model: tapValues(model, names), inputs, outputs: names, boundary: [] };
}

async function runPart(
  part: ModelPart,
  known: Feeds,
  optimization: TapOptions['optimization'],
): Promise<Feeds> {
  const folder = await makeScratchFolder(part.model);
  try {
    const path = join(folder, 'tapped.onnx');
    await saveModel(part.model, path, { referenceWeights: true });
    const session = await onnxruntimeRunner.load(path, {
      device: 'cpu',
      ...(optimization !== undefined && { optimization }),
      // Weights stay mapped from their file instead of being packed on the heap.
      config: { 'session.disable_prepacking': '1' },
    });
    try {
      const feeds = new Map(part.inputs.map((name) => [name, known.get(name) as TensorValue]));
      return await session.run(feeds, [...new Set([...part.outputs, ...part.boundary])]);
    } finally {
      await session.close();
    }
  } finally {
    await removeTemporaryFolder(folder);
  }
}
