/** Takes a model and its data through the verbs, from files to files, and measures what came out. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor as OrtTensor } from 'onnxruntime-node';
import type { QuantizeOutcome } from '../../src/artifact/results.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Model } from '../../src/ir/model.ts';
import { float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import { exportModel } from '../../src/workflows/export.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { npy, npz } from '../kit/numpy-files.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { type Feeds, runModel } from '../kit/run-model.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

/** One input over all samples: the first axis of `dims` counts them. */
export interface Samples {
  readonly dataType: 'float32' | 'float16' | 'int64' | 'int32' | 'bool' | 'float64';
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

/** Samples by input name. */
export type SampleSet = Readonly<Record<string, Samples>>;

/** Returns normal values. */
export function normalSamples(
  dims: readonly number[],
  seed: number,
  dataType: 'float32' | 'float16' | 'float64' = 'float32',
): Samples {
  const random = createRandom(seed);
  const count = dims.reduce((product, dim) => product * dim, 1);
  return { dataType, dims, values: Array.from({ length: count }, () => random.normal()) };
}

/** Returns whole numbers from 0 up to `below`. */
export function idSamples(
  dims: readonly number[],
  seed: number,
  below: number,
  dataType: 'int64' | 'int32' = 'int64',
): Samples {
  const random = createRandom(seed);
  const count = dims.reduce((product, dim) => product * dim, 1);
  const values = Array.from({ length: count }, () => Math.floor(random.uniform() * below));
  return { dataType, dims, values };
}

/** Where a situation lies on disk. */
export interface SituationFiles {
  readonly folder: string;
  readonly model: string;
  readonly data: string;
}

/** Writes a model with a data set of arrays, calibration and held-out apart. */
export async function writeSituation(
  model: Model,
  calibration: SampleSet,
  heldOut: SampleSet,
): Promise<SituationFiles> {
  const folder = temporaryFolder();
  const data = join(folder, 'data');
  mkdirSync(data);
  await saveModel(model, join(folder, 'model.onnx'));
  writeFileSync(join(data, 'calib.npz'), archive(calibration));
  writeFileSync(join(data, 'heldout.npz'), archive(heldOut));
  const set = 'kind: tensors\nfiles: [calib.npz]\nheldOut: [heldout.npz]\n';
  writeFileSync(join(data, 'dataset.yaml'), set);
  return { folder, model: join(folder, 'model.onnx'), data };
}

function archive(samples: SampleSet): Uint8Array {
  const arrays = Object.entries(samples).map(([name, { dataType, dims, values }]) => [
    name,
    npy(NUMPY_TYPES[dataType], dims, typedArray(dataType, values)),
  ]);
  return npz(Object.fromEntries(arrays), 0);
}

const NUMPY_TYPES = {
  float32: '<f4',
  float16: '<f2',
  float64: '<f8',
  int64: '<i8',
  int32: '<i4',
  bool: '|b1',
} as const;

function typedArray(dataType: Samples['dataType'], values: readonly number[]) {
  switch (dataType) {
    case 'float32':
      return Float32Array.from(values);
    case 'float16':
      return float32ArrayToFloat16(Float32Array.from(values));
    case 'float64':
      return Float64Array.from(values);
    case 'int64':
      return BigInt64Array.from(values, (value) => BigInt(value));
    case 'int32':
      return Int32Array.from(values);
    case 'bool':
      return Uint8Array.from(values);
  }
}

/** What quantizing gave, and how close the written model is. */
export interface SituationResult {
  readonly outcome: QuantizeOutcome;
  readonly warnings: readonly string[];
  readonly artifact: Model;
  /** SQNR in dB over all held-out samples by float output; Infinity where all are equal. */
  readonly sqnr: ReadonlyMap<string, number>;
}

/** Quantizes a situation from its files and runs source and artifact on the held-out samples. */
export async function quantizeSituation(
  model: Model,
  calibration: SampleSet,
  heldOut: SampleSet,
  options: { readonly recipe?: string } = {},
): Promise<SituationResult> {
  const files = await writeSituation(model, calibration, heldOut);
  const output = join(files.folder, 'out');
  const reporter = listeningReporter();
  const outcome = await quantize({ ...files, output, ...options }, reporter);
  const artifact = await openModel(join(output, 'model.onnx'));
  const sqnr = await measure(model, artifact, heldOut);
  return { outcome, warnings: reporter.warnings, artifact, sqnr };
}

/** Exports for TensorRT and returns the SQNR of the shipped file as onnxruntime runs it. */
export async function exportSituation(
  model: Model,
  calibration: SampleSet,
  heldOut: SampleSet,
): Promise<ReadonlyMap<string, number>> {
  const files = await writeSituation(model, calibration, heldOut);
  const output = join(files.folder, 'out');
  await exportModel({ ...files, output, target: 'tensorrt', shape: [] }, listeningReporter());
  return measure(model, await openModel(join(output, 'model.int8.qdq.onnx')), heldOut);
}

async function measure(
  source: Model,
  artifact: Model,
  heldOut: SampleSet,
): Promise<ReadonlyMap<string, number>> {
  const count = Object.values(heldOut)[0]!.dims[0]!;
  const feedsOf = (model: Model): Feeds[] =>
    Array.from({ length: count }, (_, index) => feedOf(model, heldOut, index));
  const expected = (await runModel(source, feedsOf(source))).outputs;
  const actual = (await runModel(artifact, feedsOf(artifact))).outputs;
  const floats = source.graph.outputs.filter(
    ({ type }) => type?.kind === 'tensor' && isFloat(type.dataType),
  );
  return new Map(
    floats.map(({ name }) => [name, decibels(expected.get(name)!, actual.get(name)!)]),
  );
}

function isFloat(dataType: DataType): boolean {
  return dataType === 'float32' || dataType === 'float16';
}

/** Sample `index`, with a first axis of one where the input has as many axes as the array. */
function feedOf({ graph }: Model, samples: SampleSet, index: number): Feeds {
  return Object.fromEntries(
    Object.entries(samples).map(([name, { dataType, dims, values }]) => {
      const size = values.length / dims[0]!;
      const type = graph.inputs.find((input) => input.name === name)?.type;
      const tensor = type?.kind === 'tensor' ? type : undefined;
      const isShort = tensor?.shape?.length === dims.length - 1;
      // The float32 twin of a float16 model takes float32.
      const wanted = (tensor?.dataType ?? dataType) as Samples['dataType'];
      const data = typedArray(wanted, values.slice(index * size, (index + 1) * size));
      const own = isShort ? dims.slice(1) : [1, ...dims.slice(1)];
      return [name, new OrtTensor(wanted, data as Float32Array, own)];
    }),
  );
}

function decibels(expected: Float32Array, actual: Float32Array): number {
  if (actual.length !== expected.length) throw new Error('outputs of different lengths');
  let signal = 0;
  let noise = 0;
  expected.forEach((value, index) => {
    signal += value ** 2;
    noise += (value - actual[index]!) ** 2;
  });
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}
