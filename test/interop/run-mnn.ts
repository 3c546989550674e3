/** Runs models in the real MNN and in onnxruntime, side by side. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { graphBytes, weightBytes } from '../../src/formats/mnn/write.ts';
import type { Model } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { MNN_VERSION } from '../../src/runners/mnn/find-mnn.ts';
import { type MnnOptions, openMnn } from '../../src/runners/mnn/mnn-session.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { type LowerOptions, lowerToMnn } from '../../src/targets/mnn/lower.ts';
import type { Feeds, TensorValue } from '../../src/values/tensor-value.ts';
import { pythonOrSkip } from './python-venv.ts';

/** The interpreter with the wheel that files are tested with; undefined where there is no Python or network. */
export function mnnPython(): Promise<string | undefined> {
  return pythonOrSkip([`MNN==${MNN_VERSION}`, 'numpy==2.4.6']);
}

export async function writeLowered(
  model: Model,
  folder: string,
  options: Partial<LowerOptions> = {},
): Promise<string> {
  const lowered = lowerToMnn(model, { floats: 'float32', ...options });
  const path = join(folder, 'model.mnn');
  await writeFile(`${path}.weight`, weightBytes(lowered.model));
  await writeFile(path, graphBytes(lowered.model));
  return path;
}

/** Outputs of each set of feeds in MNN, from a file at `path`. */
export async function runMnn(
  path: string,
  feeds: readonly Feeds[],
  options: MnnOptions,
): Promise<readonly Feeds[]> {
  const session = await openMnn(path, options);
  try {
    const results: Feeds[] = [];
    for (const feed of feeds) results.push(await session.run(feed));
    return results;
  } finally {
    await session.close();
  }
}

/** Outputs of the float32 twin in onnxruntime. */
export async function runTwin(
  model: Model,
  folder: string,
  feeds: readonly Feeds[],
): Promise<readonly Feeds[]> {
  const path = join(folder, 'twin.onnx');
  await saveModel(runPasses(model, [convertToFloat32]), path);
  const session = await InferenceSession.create(path, {
    logSeverityLevel: 3,
    intraOpNumThreads: 1,
  });
  const results: Feeds[] = [];
  for (const feed of feeds) {
    const tensors = [...feed].map(([name, { dataType, data, dims }]) => [
      name,
      new OrtTensor(dataType as 'float32', data as Float32Array, dims),
    ]);
    const outputs = await session.run(Object.fromEntries(tensors));
    results.push(
      new Map(
        Object.entries(outputs).map(([name, { type, dims, data }]): [string, TensorValue] => [
          name,
          { dataType: type as 'float32', dims, data: data as Float32Array },
        ]),
      ),
    );
  }
  await session.release();
  return results;
}

/**
 * Largest difference of an output to the reference as a part of the largest reference value; Infinity for another
 * shape, a missing output or a number that only one of them has.
 */
export function worstDifference(reference: Feeds, other: Feeds): number {
  let worst = 0;
  for (const [name, expected] of reference) {
    const found = other.get(name);
    if (found === undefined || found.dims.join() !== expected.dims.join()) return Infinity;
    let [largest, difference] = [0, 0];
    for (let index = 0; index < expected.data.length; index++) {
      const [a, b] = [Number(expected.data[index]), Number(found.data[index])];
      largest = Math.max(largest, Math.abs(a));
      if (a !== b) difference = Math.max(difference, Math.abs(a - b));
      if (Number.isNaN(a) !== Number.isNaN(b)) return Infinity;
    }
    if (difference > 0) worst = Math.max(worst, difference / largest);
  }
  return worst;
}
