/** Core ML packages of tests, evaluated in onnxruntime. */
import { join } from 'node:path';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { MilModel } from '../../src/formats/coreml/mil.ts';
import type { Model } from '../../src/ir/model.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../src/numerics/float16.ts';
import { type EvaluationMode, milToOnnx } from '../../src/runners/coreml/mil-to-onnx.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import type { LoweredCoreml } from '../../src/targets/coreml/lower.ts';
import { readFolder, writePackage } from './coreml-package.ts';
import { cosine } from './run-model.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

export type Feeds = Record<string, OrtTensor>;

/** Runs a model in onnxruntime, graph optimisation as given. */
async function runOnnx(model: Model, feeds: Feeds): Promise<Feeds> {
  return inTemporaryFolder(async (folder) => {
    await saveModel(model, join(folder, 'model.onnx'));
    const session = await InferenceSession.create(join(folder, 'model.onnx'), {
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const known = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
    const results = (await session.run(Object.fromEntries(known))) as Feeds;
    await session.release();
    return results;
  });
}

/** Writes a program, reads it again and runs what was read. */
export async function evaluate(
  program: MilModel,
  feeds: Feeds,
  mode: EvaluationMode,
): Promise<Feeds> {
  return inTemporaryFolder(async (folder) => {
    await writePackage(program, folder);
    return runOnnx(milToOnnx(await readFolder(folder), mode), feeds);
  });
}

/** Returns the least cosine of all outputs between the source in onnxruntime and its package, on one set of feeds. */
export async function likeness(
  source: Model,
  lowered: LoweredCoreml,
  mode: EvaluationMode,
): Promise<number> {
  const { program, names } = lowered;
  const feeds: Feeds = {};
  const own: Feeds = {};
  for (const [name, feature] of names) {
    const input = program.inputs.find((one) => one.name === feature);
    if (input?.shape === undefined) continue;
    const { shape } = input;
    const values = inputValues(
      name,
      shape.reduce((a, b) => a * b, 1),
    );
    if (input.dataType === 'int32') {
      feeds[name] = new OrtTensor('int64', BigInt64Array.from(values.integers, BigInt), shape);
      own[feature] = new OrtTensor('int32', Int32Array.from(values.integers), shape);
    } else {
      feeds[name] = new OrtTensor(
        'float16',
        Uint16Array.from(values.floats, float32ToFloat16),
        shape,
      );
      own[feature] = new OrtTensor('float32', Float32Array.from(values.floats), shape);
    }
  }
  const [expected, found] = [await runOnnx(source, feeds), await evaluate(program, own, mode)];
  const all = source.graph.outputs.map(({ name }) => {
    const data = expected[name]!.data as Uint16Array;
    return cosine(
      Float32Array.from(data, float16ToFloat32),
      found[names.get(name)!]!.data as Float32Array,
    );
  });
  return Math.min(...all);
}

function inputValues(name: string, count: number): { integers: number[]; floats: number[] } {
  const indices = Array.from({ length: count }, (_, index) => index);
  const integers = indices.map((index) => {
    if (name.includes('mask')) return 1;
    return name.includes('position') ? PAST + index : (index * 37 + 11) % 256;
  });
  const floats = indices.map((index) =>
    float16ToFloat32(float32ToFloat16(Math.sin(index * 1.7) / 2)),
  );
  return { integers, floats };
}

/** Rows of the caches of exports that have them. */
const PAST = 8;

/** Sizes for every symbol of the exports in fixtures/, for a number of new tokens. */
export function fixtureSizes(tokens: number): Record<string, number> {
  return {
    batch: 1,
    batch_size: 1,
    sequence: tokens,
    sequence_length: tokens,
    past_sequence_length: PAST,
    total_sequence_length: PAST + tokens,
    num_channels: 1,
    height: 28,
    width: 28,
  };
}

/** Every export under fixtures/ that is a whole model. */
export const EXPORTS: readonly string[] = [
  'glm-nano/dynamo-opset18',
  'glm-nano/dynamo-opset23',
  'glm-nano/genai',
  'glm-nano/optimum',
  'glm-nano/torchscript',
  'vit-fashion/dynamo-opset18',
  'vit-fashion/optimum',
  'vit-fashion/torchscript-opset14',
  'cnn-fashion/dynamo-opset18',
  'cnn-fashion/torchscript-opset17',
];
