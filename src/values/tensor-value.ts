import type { KnownDataType } from '../ir/data-type.ts';

/** Typed arrays that hold tensor elements; float16 and bfloat16 are bit patterns in Uint16Array. */
export type ElementArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** A tensor at run time. `bool` is a Uint8Array of 0 and 1. */
export interface TensorValue {
  readonly dataType: KnownDataType;
  readonly dims: readonly number[];
  readonly data: ElementArray;
}

/** Named tensors that go into or come out of a session. */
export type Feeds = ReadonlyMap<string, TensorValue>;
