import { Tensor } from 'onnxruntime-node';
import { RunnerError } from '../../errors.ts';
import type { KnownDataType } from '../../ir/data-type.ts';
import type { ElementArray, Feeds, TensorValue } from '../../values/tensor-value.ts';

type ArrayConstructor = new (
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
) => ElementArray;

/** The element types that onnxruntime's JavaScript binding moves, with the arrays that hold them. */
const ARRAYS: ReadonlyMap<string, ArrayConstructor> = new Map<string, ArrayConstructor>([
  ['float32', Float32Array],
  ['float64', Float64Array],
  ['float16', Uint16Array],
  ['int8', Int8Array],
  ['uint8', Uint8Array],
  ['bool', Uint8Array],
  ['int16', Int16Array],
  ['uint16', Uint16Array],
  ['int32', Int32Array],
  ['uint32', Uint32Array],
  ['int64', BigInt64Array],
  ['uint64', BigUint64Array],
]);

/** Returns onnxruntime tensors over the same memory. Throws {@link RunnerError} for other types. */
export function toOnnxruntime(feeds: Feeds): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, { dataType, dims, data }] of feeds) {
    const expected = ARRAYS.get(dataType);
    if (expected === undefined) throw unsupported(name, dataType);
    if (!(data instanceof expected)) {
      throw new RunnerError(
        `input ${name}: its data do not fit its type (got ${data.constructor.name}, expected ${expected.name} for ${dataType}).`,
      );
    }
    tensors[name] = new Tensor(dataType as 'float32', data as Float32Array, dims);
  }
  return tensors;
}

/** Returns outputs as plain values over the same memory; float16 as bit patterns on every Node. */
export function fromOnnxruntime(name: string, tensor: Tensor): TensorValue {
  const array = ARRAYS.get(tensor.type);
  if (array === undefined) throw unsupported(name, tensor.type);
  const view = tensor.data as ArrayBufferView & { readonly length: number };
  const data =
    view instanceof array
      ? (view as ElementArray)
      : // Float16Array where Node has one: the same bits, seen as integers.
        new array(view.buffer, view.byteOffset, view.length);
  return { dataType: tensor.type as KnownDataType, dims: [...tensor.dims], data };
}

function unsupported(name: string, dataType: string): RunnerError {
  return new RunnerError(
    `${name}: onnxruntime's JavaScript binding cannot move ${dataType} values. Cast the value inside the model.`,
  );
}
