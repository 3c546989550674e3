/** Models and data of a few numbers on disk, as the command line takes them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor as OrtTensor } from 'onnxruntime-node';
import type { Model } from '../../src/ir/model.ts';
import { float32ToFloat16 } from '../../src/numerics/float16.ts';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import { npy } from './numpy-files.ts';
import { runModel } from './run-model.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Samples of the one input `x`: the first axis of `dims` counts them. */
export interface SmallData {
  readonly dims: readonly number[];
  readonly values: Float32Array;
}

/** Paths of a model and of its data set, in a folder that is removed when the test ends. */
export interface SmallFiles {
  readonly folder: string;
  readonly model: string;
  readonly data: string;
}

/** Writes a model, and `x.npy` to calibrate and to check with. */
export async function writeSmall(model: Model, data: SmallData): Promise<SmallFiles> {
  const folder = temporaryFolder();
  await saveModel(model, join(folder, 'model.onnx'));
  mkdirSync(join(folder, 'data'));
  writeFileSync(join(folder, 'data', 'x.npy'), npy('<f4', data.dims, data.values));
  writeFileSync(
    join(folder, 'data', 'dataset.yaml'),
    'kind: tensors\nfiles: [x.npy]\nheldOut: [x.npy]\n',
  );
  return { folder, model: join(folder, 'model.onnx'), data: join(folder, 'data') };
}

/** SQNR of output `y` in dB of what was written to `folder` against the model that it was made from, on rows of `x`. */
export async function sqnrOfY(
  folder: string,
  source: Model,
  { dims, values }: SmallData,
): Promise<number> {
  const feeds = [{ x: feed(source, dims, values) }];
  const artifact = await openModel(join(folder, 'model.onnx'));
  const expected = (await runModel(source, feeds)).outputs.get('y')!;
  const actual = (await runModel(artifact, [{ x: feed(artifact, dims, values) }])).outputs.get(
    'y',
  )!;
  let signal = 0;
  let noise = 0;
  expected.forEach((value, index) => {
    signal += value ** 2;
    noise += (value - actual[index]!) ** 2;
  });
  return 10 * Math.log10(signal / noise);
}

function feed({ graph }: Model, dims: readonly number[], values: Float32Array): OrtTensor {
  const type = graph.inputs[0]?.type;
  return type?.kind === 'tensor' && type.dataType === 'float16'
    ? new OrtTensor('float16', Uint16Array.from(values, float32ToFloat16), dims)
    : new OrtTensor('float32', values, dims);
}
