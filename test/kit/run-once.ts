import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Dim, Model, ValueInfo } from '../../src/ir/model.ts';
import { elementCount } from '../../src/ir/tensor.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../src/numerics/float16.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

export interface Output {
  readonly dims: readonly number[];
  readonly type: string;
  /** Elements as numbers, whatever the type. */
  readonly values: readonly number[];
}

/** What is fed: values by input name; the tensor takes the input's own type. */
export type Values = ReadonlyMap<
  string,
  { readonly dims: readonly number[]; readonly values: readonly number[] }
>;

/** Runs a model once on onnxruntime's CPU provider, without optimisations. */
export async function runOnce(model: Model, feeds: Values): Promise<ReadonlyMap<string, Output>> {
  return inTemporaryFolder(async (folder) => {
    await saveModel(model, join(folder, 'model.onnx'));
    const session = await InferenceSession.create(join(folder, 'model.onnx'), {
      graphOptimizationLevel: 'disabled',
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const tensors: Record<string, Tensor> = {};
    for (const input of model.graph.inputs) {
      const feed = feeds.get(input.name);
      if (feed !== undefined) tensors[input.name] = tensorOf(input, feed.dims, feed.values);
    }
    const results = await session.run(tensors);
    await session.release();
    return new Map(
      Object.entries(results).map(([name, tensor]) => [
        name,
        { dims: tensor.dims, type: tensor.type, values: numbersIn(tensor) },
      ]),
    );
  });
}

/** Values for every input; symbols get their size from `sizes`, else 2. */
export function makeFeeds(
  model: Model,
  sizes: Readonly<Record<string, number>> = {},
  value: (name: string, index: number) => number = (_, index) => ((index * 7) % 11) / 8 - 0.5,
): Values {
  return new Map(
    model.graph.inputs.map((input) => {
      const dims = (input.type?.kind === 'tensor' ? (input.type.shape ?? []) : []).map((dim) =>
        sizeOf(dim, sizes),
      );
      const values = Array.from({ length: elementCount(dims) }, (_, index) =>
        value(input.name, index),
      );
      return [input.name, { dims, values }];
    }),
  );
}

function sizeOf(dim: Dim, sizes: Readonly<Record<string, number>>): number {
  return typeof dim === 'number' ? dim : (sizes[dim ?? ''] ?? 2);
}

function tensorOf(input: ValueInfo, dims: readonly number[], values: readonly number[]): Tensor {
  const dataType = input.type?.kind === 'tensor' ? input.type.dataType : 'float32';
  switch (dataType) {
    case 'float16':
      return new Tensor('float16', Uint16Array.from(values, float32ToFloat16), dims);
    case 'int64':
      return new Tensor(
        'int64',
        BigInt64Array.from(values, (value) => BigInt(Math.round(value))),
        dims,
      );
    case 'int32':
      return new Tensor('int32', Int32Array.from(values), dims);
    case 'bool':
      return new Tensor(
        'bool',
        Uint8Array.from(values, (value) => Number(value > 0)),
        dims,
      );
    default:
      return new Tensor('float32', Float32Array.from(values), dims);
  }
}

function numbersIn(tensor: Tensor): readonly number[] {
  if (tensor.type === 'float16') {
    // Node 24 has Float16Array and hands values out; Node 20 hands out bits.
    const data = tensor.data as unknown as Uint16Array;
    return data instanceof Uint16Array
      ? Array.from(data, float16ToFloat32)
      : Array.from(data as ArrayLike<number>);
  }
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}
