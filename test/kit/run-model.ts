/** Runs models of this folder's tests in onnxruntime, which is what they are written for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Model, ValueInfo } from '../../src/ir/model.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../src/numerics/float16.ts';
import type { ActivationRange } from '../../src/quantize/quantization-plan.ts';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import { root } from './paths.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

export type Feeds = Record<string, OrtTensor>;

export interface Result {
  readonly outputs: ReadonlyMap<string, Float32Array>;
  /** The graph as onnxruntime optimised it. */
  readonly optimized: Model;
  readonly fileBytes: number;
}

export function fixture(path: string): Promise<Model> {
  return openModel(join(root, 'fixtures', path, 'model.onnx'));
}

/**
 * Saves, loads and runs a model on onnxruntime's CPU provider, with all optimisations unless told otherwise;
 * `settings` are session config entries without `session.`.
 */
export async function runModel(
  model: Model,
  feeds: readonly Feeds[],
  settings: Readonly<Record<string, string>> = {},
  level: 'all' | 'disabled' = 'all',
): Promise<Result> {
  return inTemporaryFolder(async (folder) => {
    const files = await saveModel(model, join(folder, 'model.onnx'));
    const optimizedModelFilePath = join(folder, 'optimized.onnx');
    const session = await InferenceSession.create(join(folder, 'model.onnx'), {
      optimizedModelFilePath,
      graphOptimizationLevel: level,
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
      extra: { session: settings },
    });
    const rows: Record<string, OrtTensor>[] = [];
    for (const feed of feeds) rows.push((await session.run(feed)) as Record<string, OrtTensor>);
    const outputs = new Map<string, Float32Array>();
    for (const name of session.outputNames) {
      const parts = rows.map((row) => toFloat32(row[name]!));
      outputs.set(name, Float32Array.from(parts.flatMap((part) => [...part])));
    }
    await session.release();
    const fileBytes = files.reduce((sum, file) => sum + readFileSync(file).length, 0);
    return { outputs, optimized: await openModel(optimizedModelFilePath), fileBytes };
  });
}

/** Smallest and largest value of each named activation over the feeds. */
export async function observeRanges(
  model: Model,
  feeds: readonly Feeds[],
  names: readonly string[],
): Promise<Map<string, ActivationRange>> {
  const own = new Set(model.graph.outputs.map((output) => output.name));
  const inputs = new Set(model.graph.inputs.map((input) => input.name));
  const tapped = [...new Set(names)].filter((name) => !own.has(name) && !inputs.has(name));
  const outputs: ValueInfo[] = tapped.map((name) => model.graph.valueInfo.get(name) ?? { name });
  const { outputs: values } = await runModel(
    { ...model, graph: { ...model.graph, outputs: [...model.graph.outputs, ...outputs] } },
    feeds,
  );
  const ranges = new Map<string, ActivationRange>();
  for (const name of new Set(names)) {
    const data = values.get(name) ?? feedValues(feeds, name);
    let min = 0;
    let max = 0;
    for (const value of data) {
      if (value < min) min = value;
      if (value > max) max = value;
    }
    ranges.set(name, { min, max, calibrator: 'minmax' });
  }
  return ranges;
}

function feedValues(feeds: readonly Feeds[], name: string): Float32Array {
  return Float32Array.from(feeds.flatMap((feed) => [...toFloat32(feed[name]!)]));
}

/** Feeds of a decoder for windows of UTF-8 bytes: ids, masks, positions and empty caches. */
export function textFeeds(model: Model, file: string, windows: number, length: number): Feeds[] {
  const text = readFileSync(join(root, 'calibration/text', file));
  return Array.from({ length: windows }, (_, window) => {
    const ids = BigInt64Array.from(text.subarray(window * length, (window + 1) * length), BigInt);
    return Object.fromEntries(
      model.graph.inputs.map((input) => {
        if (input.name.includes('past')) return [input.name, emptyCache(input)];
        const row = input.name.includes('mask')
          ? ids.map(() => 1n)
          : input.name.includes('position')
            ? ids.map((_, index) => BigInt(index))
            : ids;
        return [input.name, new OrtTensor('int64', row, [1, length])];
      }),
    );
  });
}

function emptyCache(input: ValueInfo): OrtTensor {
  const { dataType, shape } = typeOf(input);
  const dims = (shape ?? []).map((dim, axis) =>
    axis === 0 ? 1 : typeof dim === 'number' ? dim : 0,
  );
  return dataType === 'float16'
    ? new OrtTensor('float16', new Uint16Array(0), dims)
    : new OrtTensor('float32', new Float32Array(0), dims);
}

/** Feeds of an image classifier: one batch of calibration or test images. */
export function imageFeeds(model: Model, file: string, count: number): Feeds[] {
  const archive = unzipSync(readFileSync(join(root, 'calibration/fashion-mnist', file)));
  const name = model.graph.inputs[0]!.name;
  const { values, dims } = readNpy(archive[`${name}.npy`]!);
  const size = dims.slice(1).reduce((product, dim) => product * dim, 1);
  const data = values.subarray(0, count * size);
  const shape = [count, ...dims.slice(1)];
  const isHalf = typeOf(model.graph.inputs[0]!).dataType === 'float16';
  const tensor = isHalf
    ? new OrtTensor('float16', Uint16Array.from(data, float32ToFloat16), shape)
    : new OrtTensor('float32', data, shape);
  return [{ [name]: tensor }];
}

function readNpy(bytes: Uint8Array): { values: Float32Array; dims: number[] } {
  const headerLength = new DataView(bytes.buffer, bytes.byteOffset).getUint16(8, true);
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + headerLength));
  const dims = /'shape': \(([^)]*)\)/
    .exec(header)![1]!
    .split(',')
    .filter((part) => part.trim() !== '');
  const data = bytes.slice(10 + headerLength).buffer;
  const values = header.includes("'<f2'")
    ? Float32Array.from(new Uint16Array(data), float16ToFloat32)
    : header.includes("'|u1'")
      ? Float32Array.from(new Uint8Array(data))
      : new Float32Array(data);
  return { values, dims: dims.map(Number) };
}

function typeOf(value: ValueInfo): { dataType: string; shape?: readonly unknown[] } {
  if (value.type?.kind !== 'tensor') throw new Error(`${value.name} is not a tensor`);
  return value.type;
}

function toFloat32(tensor: OrtTensor): Float32Array {
  if (tensor.type === 'float16') {
    const data = tensor.data as unknown as Uint16Array | Float32Array;
    // Node 24 gives a Float16Array here, Node 20 the bit patterns.
    return data instanceof Uint16Array
      ? Float32Array.from(data, float16ToFloat32)
      : Float32Array.from(data);
  }
  return Float32Array.from(tensor.data as Float32Array, Number);
}

/** Cosine of the angle between two vectors. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let index = 0; index < a.length; index++) {
    dot += a[index]! * b[index]!;
    aa += a[index]! ** 2;
    bb += b[index]! ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}

/** Share of rows of `width` whose largest value is at the same index. */
export function agreement(a: Float32Array, b: Float32Array, width: number): number {
  let same = 0;
  for (let row = 0; row < a.length; row += width) {
    const best = (values: Float32Array): number => {
      const part = values.subarray(row, row + width);
      return part.indexOf(Math.max(...part));
    };
    if (best(a) === best(b)) same++;
  }
  return same / (a.length / width);
}
