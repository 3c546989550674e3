/** Products with constant matrices: 1x1 convolutions, the one form with quantized kernels in MNN. */
import { DATA_FORMAT, QUANTIZED_TYPE } from '../../../formats/mnn/enums.ts';
import { needsWideShape, quantizedBlob } from '../../../formats/mnn/quantized-blob.ts';
import type { Table } from '../../../formats/mnn/schema.ts';
import type { Dim } from '../../../ir/model.ts';
import { inlineSource, type Tensor, type TensorSource } from '../../../ir/tensor.ts';
import { emit, type FloatStorage, type Lowering } from '../lowering.ts';
import { concatVectors, reshape, shapeVector, sliceVector } from '../sizes.ts';
import { float16Source, float32Source, turnedSource } from '../weight-sources.ts';

/** A weight [outputs, inputs] as integers: `w = q * scale` by output channel or block of inputs. */
export interface IntegerWeight {
  readonly bits: 4 | 8;
  /** Codes about the middle, as blobs hold them: `q + 128`, or two `q + 8` a byte. */
  readonly codes: TensorSource;
  /** float32 [outputs, blocks], or pairs of offset and scale (of code 0) where asymmetric. */
  readonly alpha: TensorSource;
  readonly blocks: number;
  readonly isAsymmetric: boolean;
}

/** A constant matrix and what is added to the product. */
export interface LinearWeight {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly values: { readonly float: TensorSource; readonly storage: FloatStorage } | IntegerWeight;
  /** float32 [outputs]. */
  readonly bias: TensorSource | undefined;
}

/** Returns a float matrix as [outputs, inputs]. `outputAxis` is that of its output channels as it is stored. */
export function floatWeight(
  tensor: Tensor,
  outputAxis: number,
  floats: FloatStorage,
): LinearWeight['values'] {
  const storage = floats === 'float16' && tensor.dataType === 'float16' ? 'float16' : 'float32';
  const source = storage === 'float16' ? float16Source(tensor) : float32Source(tensor);
  const [rows, columns] = tensor.dims as readonly [number, number];
  const width = storage === 'float16' ? 2 : 4;
  const float = outputAxis === 0 ? source : turnedSource(source, rows, columns, width);
  return { float, storage };
}

/**
 * Adds the product of `input`, a tensor of shape `shape`, and a weight: rows become the batch of a convolution over
 * one position. Layers that read one input share its conversion.
 */
export function addLinear(
  lowering: Lowering,
  input: { readonly tensor: string; readonly shape: readonly Dim[] },
  weight: LinearWeight,
  output: string,
): string {
  const { inFeatures, outFeatures } = weight;
  const { tensor, shape } = input;
  const product = addConvolution(lowering, packRows(lowering, tensor, inFeatures), {
    common: { inputCount: inFeatures, outputCount: outFeatures },
    weight,
    output: lowering.fresh(`${output}_packed`),
  });
  const rows = emit(lowering, 'ConvertTensor', [product], lowering.fresh(`${output}_rows`), {
    kind: 'TensorConvertInfo',
    value: { source: DATA_FORMAT.NC4HW4, dest: DATA_FORMAT.NCHW },
  });
  const lead = shape.slice(0, -1);
  return reshape(lowering, rows, [...lead, outFeatures], output, () => {
    const known = shapeVector(lowering, tensor);
    const sizes = sliceVector(lowering, known, 0, lead.length);
    return concatVectors(lowering, [sizes, lowering.ints([outFeatures])], `${output}_sizes`);
  });
}

/** Returns the rows of a tensor as convolutions take them: [rows, features, 1, 1], channels by fours. */
function packRows(lowering: Lowering, tensor: string, features: number): string {
  const key = `rows of ${tensor}`;
  const known = lowering.made.get(key);
  if (known !== undefined) return known;
  const rows = emit(lowering, 'Reshape', [tensor], lowering.fresh(`${tensor}_rows`), {
    kind: 'Reshape',
    value: { dims: [-1, features, 1, 1] },
  });
  const packed = emit(lowering, 'ConvertTensor', [rows], lowering.fresh(`${tensor}_packed`), {
    kind: 'TensorConvertInfo',
    value: { source: DATA_FORMAT.NCHW, dest: DATA_FORMAT.NC4HW4 },
  });
  lowering.made.set(key, packed);
  return packed;
}

/** A convolution over a packed tensor. */
export interface ConvolutionSpec {
  readonly common: Table<'Convolution2DCommon'>;
  readonly weight: LinearWeight;
  readonly output: string;
  readonly isDepthwise?: boolean;
}

/** Adds a convolution whose weights lie beside the graph and returns its output, packed as its input is. */
export function addConvolution(
  lowering: Lowering,
  input: string,
  { common, weight, output, isDepthwise = false }: ConvolutionSpec,
): string {
  const { values, outFeatures } = weight;
  // Without a bias the loader refuses float convolutions.
  const bias = weight.bias ?? inlineSource(new Uint8Array(4 * outFeatures), `zeros ${outFeatures}`);
  const type = isDepthwise ? 'ConvolutionDepthwise' : 'Convolution';
  const base = { type, inputs: [input], outputs: [output] } as const;
  if ('codes' in values) {
    const { inFeatures } = weight;
    const blob = quantizedBlob(outFeatures, inFeatures, values.bits, values.codes);
    const quanParameter = blobParameters(values, outFeatures, inFeatures);
    return lowering.add({
      ...base,
      outside: {
        parts: [blob, values.alpha, bias],
        place: (external) => ({
          kind: 'Convolution2D',
          value: { common, quanParameter, external: [...external, 0] },
        }),
      },
    });
  }
  const quanParameter = { type: QUANTIZED_TYPE.half, quantScale: 1 };
  const empty = inlineSource(new Uint8Array(0), 'empty');
  const isHalf = values.storage === 'float16';
  return lowering.add({
    ...base,
    outside: {
      parts: isHalf ? [values.float, empty, bias] : [values.float, bias],
      place: (external) => ({
        kind: 'Convolution2D',
        value: isHalf
          ? { common, quanParameter, external: [...external, 0] }
          : { common, external },
      }),
    },
  });
}

/** `quantScale` multiplies every scale: left out it is 0, and so would be the layer. */
function blobParameters(
  { bits, blocks, isAsymmetric }: IntegerWeight,
  rows: number,
  columns: number,
): Table<'IDSTQuan'> {
  return {
    type: QUANTIZED_TYPE.blob,
    quantScale: 1,
    aMaxOrBits: bits,
    // 1 says that an offset is the weight of code 0, what tied token tables need.
    aMin: isAsymmetric ? 1 : -(2 ** (bits - 1)),
    readType: isAsymmetric ? rows * blocks : 0,
    shapeInt32: needsWideShape(rows, columns),
    weightSize: rows * columns,
  };
}
