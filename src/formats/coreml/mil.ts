/**
 * ML Programs (MIL) as plain readonly records: what `model.mlmodel` and `weight.bin` of an `.mlpackage`
 * hold, without their encoding. Field numbers and limits are those of coremltools 9.0.
 */
import type { TensorSource } from '../../ir/tensor.ts';

/**
 * Element types that may stand in a program: MIL `DataType` number, bits per element, and the number
 * of the type in `weight.bin`, where it may lie there. int64 and float64 have no operator and are left out.
 */
export const MIL_TYPES = {
  bool: { code: 1, bits: 8, blob: undefined },
  string: { code: 2, bits: 0, blob: undefined },
  fp16: { code: 10, bits: 16, blob: 1 },
  fp32: { code: 11, bits: 32, blob: 2 },
  int8: { code: 21, bits: 8, blob: 4 },
  int16: { code: 22, bits: 16, blob: 6 },
  int32: { code: 23, bits: 32, blob: 14 },
  int4: { code: 25, bits: 4, blob: 8 },
  uint8: { code: 31, bits: 8, blob: 3 },
  uint16: { code: 32, bits: 16, blob: 7 },
  uint32: { code: 33, bits: 32, blob: 15 },
  uint4: { code: 35, bits: 4, blob: 11 },
} as const;

/** Name of an element type, as MIL prints it. */
export type MilDataType = keyof typeof MIL_TYPES;

/** A size that is known when the model is written; undefined for one that a run decides. */
export type MilDim = number | undefined;

/** The type of a tensor. A scalar has no dimensions. */
export interface MilTensorType {
  readonly dataType: MilDataType;
  readonly dims: readonly MilDim[];
}

/** A named tensor: an input of a function, or what an operation makes. */
export interface MilNamedType {
  readonly name: string;
  readonly type: MilTensorType;
}

/** Elements of a constant: in the program itself, or lazily in `weight.bin`. Booleans are 0 and 1. */
export type MilData =
  | { readonly kind: 'numbers'; readonly numbers: readonly number[] }
  | { readonly kind: 'strings'; readonly strings: readonly string[] }
  | { readonly kind: 'blob'; readonly source: TensorSource };

/** A constant with its type. */
export interface MilValue {
  readonly type: MilTensorType;
  readonly data: MilData;
}

/** What an operation reads: the name of another value, or a constant written in place. */
export type MilArgument = string | MilValue;

/** One operation. Lists (`concat.values`) are one parameter with several arguments. */
export interface MilOperation {
  readonly type: string;
  readonly inputs: ReadonlyMap<string, readonly MilArgument[]>;
  /** `name` always; `val` of a const; all parameters of a constexpr before CoreML8. */
  readonly attributes: ReadonlyMap<string, MilValue>;
  readonly outputs: readonly MilNamedType[];
}

/** A function: one block in topological order. */
export interface MilFunction {
  readonly name: string;
  readonly inputs: readonly MilNamedType[];
  readonly operations: readonly MilOperation[];
  readonly outputs: readonly string[];
}

/** Sizes that an input may take along each axis. */
export type SizeRange = readonly [least: number, most: number];

/** An input or output as an app sees it. */
export interface MilFeature {
  readonly name: string;
  readonly dataType: 'fp16' | 'fp32' | 'int32';
  /** The default size of an input. Absent for outputs whose size a run decides. */
  readonly shape: readonly number[] | undefined;
  /** One for each axis where at least one axis of an input is not fixed. */
  readonly ranges?: readonly SizeRange[] | undefined;
}

/** A whole package: interface, program and metadata. */
export interface MilModel {
  /** 6 to 10: iOS 15, 16, 17, 18, 26. */
  readonly specificationVersion: number;
  readonly inputs: readonly MilFeature[];
  readonly outputs: readonly MilFeature[];
  readonly functions: readonly MilFunction[];
  readonly metadata: {
    readonly description?: string | undefined;
    readonly author?: string | undefined;
    readonly license?: string | undefined;
    readonly version?: string | undefined;
    readonly userDefined: ReadonlyMap<string, string>;
  };
}

/** Highest rank of a tensor that an operation other than a constant makes or reads. */
export const MAX_RANK = 5;

/** Returns the operator set of a specification version: 7 gives `CoreML6` (iOS 16). */
export function opsetOf(specificationVersion: number): string {
  return `CoreML${specificationVersion - 1}`;
}

/** Returns the bytes that `count` elements take, sub-byte types packed. */
export function milByteLength(dataType: MilDataType, count: number): number {
  return Math.ceil((count * MIL_TYPES[dataType].bits) / 8);
}

/** Returns the product of the dimensions, or undefined when one is not known; 1 for a scalar. */
export function milElementCount(dims: readonly MilDim[]): number | undefined {
  let count = 1;
  for (const dim of dims) {
    if (dim === undefined) return undefined;
    count *= dim;
  }
  return count;
}

/** Returns a scalar string, as names of operations and modes are written. */
export function milText(text: string): MilValue {
  return { type: { dataType: 'string', dims: [] }, data: { kind: 'strings', strings: [text] } };
}

/** Returns `fp16[1, ?, 64]`, as messages show a type. */
export function printMilType({ dataType, dims }: MilTensorType): string {
  return `${dataType}[${dims.map((dim) => dim ?? '?').join(', ')}]`;
}

/** Says whether a constant lies in `weight.bin`: from 10 elements on, integers of 16 and 32 bits from iOS 18 on. */
export function liesInBlob(dataType: MilDataType, count: number, specification: number): boolean {
  if (count < 10 || MIL_TYPES[dataType].blob === undefined) return false;
  return specification >= 9 || ['fp16', 'fp32', 'int8', 'uint8'].includes(dataType);
}
