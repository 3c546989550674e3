import { FormatError } from '../../errors.ts';
import { inlineSource, type TensorSource } from '../../ir/tensor.ts';
import { float16ArrayToFloat32 } from '../../numerics/float16.ts';
import { OP_TYPE, QUANTIZED_TYPE } from './enums.ts';
import { decodeBlob } from './quantized-blob.ts';
import type { LazyBytes, Table } from './schema.ts';

/** Where the bytes of the weights of one op are, and what they mean. */
export type PlacedWeights =
  | ConvolutionWeights
  | { readonly kind: 'norm'; readonly gamma: TensorSource; readonly beta: TensorSource }
  | {
      readonly kind: 'constant';
      readonly dims: readonly number[];
      readonly dataType: number;
      readonly bytes: TensorSource;
    };

/** Weights of a convolution or linear layer, [outputs, columns] with columns = inputs / group * kernel. */
export interface ConvolutionWeights {
  readonly kind: 'convolution';
  readonly coding: 'float32' | 'float16' | 'blob';
  readonly rows: number;
  readonly columns: number;
  readonly values: TensorSource;
  readonly bias: TensorSource;
  /** Of a blob: float32 scales (pairs of offset and scale where asymmetric) [rows, blocks]. */
  readonly alpha?: TensorSource;
  readonly isAsymmetric: boolean;
  /** Of an asymmetric blob: the code whose weight the offset is; 0 where the offset is that of code 0. */
  readonly offsetCode: number;
  readonly isWide: boolean;
}

type Slice = (offset: number, byteLength: number, op: string) => TensorSource;

const EMPTY = inlineSource(new Uint8Array(0));

/**
 * Returns the weights of all ops that have some, by position. `slice` gives a part of the file of weights. Throws
 * {@link FormatError} beginning with `where` for lengths that contradict the shape.
 */
export function placeWeights(
  ops: readonly Table<'Op'>[],
  slice: Slice,
  where: string,
): ReadonlyMap<number, PlacedWeights> {
  const placed = new Map<number, PlacedWeights>();
  ops.forEach(({ main, name = '', type }, index) => {
    const at = `${where}: op ${name}`;
    if (main?.kind === 'Convolution2D') {
      placed.set(
        index,
        convolutionWeights(main.value, (offset, length) => slice(offset, length, name), at),
      );
    } else if (main?.kind === 'LayerNorm') {
      const { gamma, beta, external } = main.value;
      const parts = external === undefined ? [] : split(external, 2, slice, name, at);
      const [first = sourceOf(gamma), second = sourceOf(beta)] = parts;
      // A gamma without a beta is passed over by the runtime without a word.
      if (first.byteLength !== second.byteLength) {
        refuse(
          at,
          'weight and bias of a norm differ in length',
          second.byteLength,
          first.byteLength,
        );
      }
      placed.set(index, { kind: 'norm', gamma: first, beta: second });
    } else if (main?.kind === 'Blob' && type === OP_TYPE.Const) {
      placed.set(index, constantBytes(main.value, slice, name, at));
    }
  });
  return placed;
}

function refuse(where: string, what: string, got: number, expected: number): never {
  throw new FormatError(`${where}: ${what} (got ${got}, expected ${expected}). Export it again.`);
}

function sourceOf(value: LazyBytes | Float32Array | undefined): TensorSource {
  if (value === undefined) return EMPTY;
  if ('read' in value) return value;
  return inlineSource(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
}

/** `external` is an offset and the lengths of parts that follow each other there. */
function split(
  external: readonly number[],
  parts: number,
  slice: Slice,
  op: string,
  where: string,
): readonly TensorSource[] {
  const [offset = -1, ...lengths] = external;
  if (lengths.length < parts) refuse(where, 'parts of its external weight', lengths.length, parts);
  let at = offset;
  return lengths.slice(0, parts).map((length) => {
    const part = slice(at, length, op);
    at += length;
    return part;
  });
}

function constantBytes(
  blob: Table<'Blob'>,
  slice: Slice,
  op: string,
  where: string,
): PlacedWeights {
  const { dims = [], dataType = 1, external } = blob;
  const inside = blob.float32s ?? blob.int8s ?? blob.uint8s ?? int32Bytes(blob.int32s);
  const [outside] = external === undefined ? [] : split(external, 1, slice, op, where);
  const bytes = outside ?? sourceOf(inside);
  const width = dataType === 19 ? 2 : dataType === 4 || dataType === 6 ? 1 : 4;
  const expected = dims.reduce((product, dim) => product * dim, width);
  if (bytes.byteLength !== expected) {
    refuse(where, 'bytes of a constant', bytes.byteLength, expected);
  }
  return { kind: 'constant', dims, dataType, bytes };
}

function int32Bytes(values: readonly number[] | undefined): Uint8Array | undefined {
  return values === undefined ? undefined : new Uint8Array(Int32Array.from(values).buffer);
}

function convolutionWeights(
  convolution: Table<'Convolution2D'>,
  slice: (offset: number, length: number) => TensorSource,
  where: string,
): ConvolutionWeights {
  const { common = {}, quanParameter: quantized, external } = convolution;
  const { outputCount = 0, inputCount = 0, group = 1, kernelX = 1, kernelY = 1 } = common;
  const columns = (inputCount / group) * kernelX * kernelY;
  if (!(outputCount > 0 && columns > 0 && Number.isInteger(columns))) {
    refuse(where, 'a convolution has no size', outputCount * columns, 1);
  }
  const parts =
    external === undefined
      ? []
      : split(
          external,
          quantized === undefined ? 2 : 3,
          (at, length) => slice(at, length),
          '',
          where,
        );
  const shape = {
    kind: 'convolution',
    rows: outputCount,
    columns,
    isAsymmetric: false,
    offsetCode: 0,
  } as const;
  const count = outputCount * columns;
  if (quantized === undefined) {
    const [values = sourceOf(convolution.weight), bias = sourceOf(convolution.bias)] = parts;
    requireLength(values, 4 * count, where);
    requireLength(bias, 4 * outputCount, where);
    return { ...shape, coding: 'float32', values, bias, isWide: false };
  }
  const [values = sourceOf(quantized.buffer), alpha = sourceOf(quantized.alpha)] = parts;
  const bias = parts[2] ?? sourceOf(convolution.bias);
  if (bias.byteLength !== 0) requireLength(bias, 4 * outputCount, where);
  const isWide = quantized.shapeInt32 === true;
  if (quantized.type === QUANTIZED_TYPE.half) {
    requireLength(values, 2 * count, where);
    return { ...shape, coding: 'float16', values, bias, isWide };
  }
  if (quantized.type !== QUANTIZED_TYPE.blob) {
    throw new FormatError(
      `${where}: its weights are in a form that autoglm does not read (got type ${quantized.type}, expected 1 or 3). Export it again.`,
    );
  }
  const isAsymmetric = (quantized.readType ?? 0) !== 0;
  const scales = alpha.byteLength / (isAsymmetric ? 8 : 4) / outputCount;
  if (!Number.isInteger(scales) || scales < 1 || columns % scales !== 0) {
    refuse(where, 'scales of a quantized weight do not divide its inputs', scales, columns);
  }
  const { aMin = 0 } = quantized;
  const offsetCode = aMin > 0 ? 0 : aMin === 0 ? -128 : aMin;
  return { ...shape, coding: 'blob', values, bias, alpha, isAsymmetric, offsetCode, isWide };
}

function requireLength({ byteLength }: TensorSource, expected: number, where: string): void {
  if (byteLength !== expected) refuse(where, 'bytes of a weight', byteLength, expected);
}

/**
 * Returns the weights as the runtime computes with them, row-major [rows, columns]: `q * scale`, with the offset of
 * asymmetric ones. Reads everything: for small weights and for proofs. Throws {@link FormatError} for damaged codes.
 */
export async function readWeights(
  weights: ConvolutionWeights,
  where: string,
): Promise<Float32Array> {
  const { coding, rows, columns, isAsymmetric, offsetCode, isWide } = weights;
  const bytes = await readAll(weights.values);
  if (coding === 'float32') return new Float32Array(bytes.buffer);
  if (coding === 'float16') return float16ArrayToFloat32(new Uint16Array(bytes.buffer));
  const codes = decodeBlob(bytes, isWide, where);
  if (codes.length !== rows * columns) {
    refuse(where, 'codes of a weight', codes.length, rows * columns);
  }
  const alpha = new Float32Array((await readAll(weights.alpha ?? EMPTY)).buffer);
  const step = isAsymmetric ? 2 : 1;
  const blocks = alpha.length / step / rows;
  const blockSize = columns / blocks;
  return Float32Array.from(codes, (code, index) => {
    const row = Math.floor(index / columns);
    const at = step * (row * blocks + Math.floor((index % columns) / blockSize));
    if (!isAsymmetric) return code * alpha[at]!;
    return (code - offsetCode) * alpha[at + 1]! + alpha[at]!;
  });
}

async function readAll(source: TensorSource): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.byteLength);
  await source.read(bytes, 0);
  return bytes;
}
