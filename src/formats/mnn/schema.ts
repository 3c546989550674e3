/**
 * The tables of a `.mnn` file, as numbers: MNN 3.6.1, whose schema only ever grows at the end of a table. A field
 * is its FlatBuffers slot and its type; `[x]` is a vector, a table name an offset to that table. Fields that
 * autoglm neither writes nor needs are left out, and readers pass over them.
 */
import type { TensorSource } from '../../ir/tensor.ts';

/** Slot and type of every field, by table. */
export const TABLES = {
  Net: {
    bizCode: [0, 'string'],
    extraTensorDescribe: [1, '[TensorDescribe]'],
    extraInfo: [2, 'ExtraInfo'],
    oplists: [3, '[Op]'],
    outputName: [4, '[string]'],
    preferForwardType: [5, 'int8'],
    sourceType: [6, 'int8'],
    tensorName: [7, '[string]'],
    tensorNumber: [8, 'int32'],
    usage: [9, 'int8'],
  },
  ExtraInfo: { name: [1, 'string'], version: [2, 'string'] },
  TensorDescribe: { index: [1, 'int32'], name: [2, 'string'], quantInfo: [4, 'TensorQuantInfo'] },
  TensorQuantInfo: {
    scale: [0, 'float32'],
    zero: [1, 'float32'],
    min: [2, 'float32'],
    max: [3, 'float32'],
    type: [4, 'int32'],
  },
  Op: {
    inputIndexes: [0, '[int32]'],
    /** The union: its type is slot 1, its value slot 2. */
    main: [1, 'main'],
    name: [3, 'string'],
    outputIndexes: [4, '[int32]'],
    type: [5, 'int32'],
    defaultDimentionFormat: [6, 'int8'],
  },
  Blob: {
    dims: [0, '[int32]'],
    dataFormat: [1, 'int8'],
    dataType: [2, 'int32'],
    uint8s: [3, '[uint8]'],
    int8s: [4, '[int8]'],
    int32s: [5, '[int32]'],
    float32s: [7, '[float32]'],
    external: [9, '[int64]'],
  },
  Convolution2DCommon: {
    padX: [0, 'int32'],
    padY: [1, 'int32'],
    kernelX: [2, 'int32'],
    kernelY: [3, 'int32'],
    strideX: [4, 'int32'],
    strideY: [5, 'int32'],
    dilateX: [6, 'int32'],
    dilateY: [7, 'int32'],
    padMode: [8, 'int8'],
    group: [9, 'int32'],
    outputCount: [10, 'int32'],
    inputCount: [11, 'int32'],
    relu: [12, 'bool'],
    relu6: [13, 'bool'],
    pads: [14, '[int32]'],
  },
  IDSTQuan: {
    buffer: [0, '[int8]'],
    alpha: [1, '[float32]'],
    type: [2, 'int32'],
    quantScale: [4, 'float32'],
    scaleIn: [5, 'float32'],
    scaleOut: [6, 'float32'],
    aMaxOrBits: [7, 'int32'],
    aMin: [8, 'int32'],
    readType: [9, 'int32'],
    shapeInt32: [11, 'bool'],
    weightSize: [12, 'uint32'],
  },
  Convolution2D: {
    common: [0, 'Convolution2DCommon'],
    weight: [1, '[float32]'],
    bias: [2, '[float32]'],
    quanParameter: [3, 'IDSTQuan'],
    external: [6, '[int64]'],
  },
  LayerNorm: {
    axis: [0, '[int32]'],
    epsilon: [1, 'float32'],
    gamma: [2, '[float32]'],
    beta: [3, '[float32]'],
    group: [4, 'int32'],
    external: [5, '[int64]'],
    useRMSNorm: [6, 'bool'],
  },
  Input: { dims: [0, '[int32]'], dtype: [1, 'int32'], dformat: [2, 'int8'] },
  MatMul: { T: [0, 'int32'], transposeA: [1, 'bool'], transposeB: [2, 'bool'] },
  Axis: { axis: [0, 'int32'] },
  ArgMax: { outMaxVal: [0, 'int32'], topK: [1, 'int32'], axis: [2, 'int32'] },
  BinaryOp: { opType: [0, 'int32'], T: [1, 'int32'], activationType: [2, 'int32'] },
  UnaryOp: { opType: [0, 'int32'], T: [1, 'int32'] },
  Relu: { slope: [0, 'float32'] },
  Relu6: { minValue: [0, 'float32'], maxValue: [1, 'float32'] },
  Reshape: { dims: [0, '[int32]'], dimType: [1, 'int8'] },
  TensorConvertInfo: { source: [0, 'int8'], dest: [1, 'int8'] },
  Permute: { dims: [0, '[int32]'] },
  GatherV2: { Taxis: [0, 'int32'], Tindices: [1, 'int32'], Tparams: [2, 'int32'] },
  Slice: { axis: [0, 'int32'], slicePoints: [1, '[int32]'], sourceType: [2, 'int8'] },
  StridedSliceParam: { Index: [0, 'int32'], T: [1, 'int32'], fromType: [7, 'int32'] },
  CastParam: { srcT: [0, 'int32'], dstT: [1, 'int32'] },
  SqueezeParam: { squeezeDims: [0, '[int32]'] },
  Range: { Tidx: [0, 'int32'] },
  ReductionParam: {
    operation: [0, 'int8'],
    dim: [1, '[int32]'],
    keepDims: [3, 'bool'],
    dType: [4, 'int32'],
  },
  TopKV2: { T: [0, 'int32'], sorted: [1, 'bool'], largest: [2, 'bool'] },
  CumSum: { exclusive: [0, 'bool'], reverse: [1, 'bool'] },
  PadParam: { mode: [0, 'int8'] },
  Pool: {
    padX: [0, 'int32'],
    padY: [1, 'int32'],
    isGlobal: [2, 'bool'],
    kernelX: [3, 'int32'],
    kernelY: [4, 'int32'],
    strideX: [5, 'int32'],
    strideY: [6, 'int32'],
    type: [7, 'int8'],
    padType: [8, 'int8'],
    dataType: [9, 'int32'],
    ceilModel: [10, 'bool'],
    pads: [11, '[int32]'],
    countType: [12, 'int8'],
  },
} as const;

/** Tables that may be the parameters of an op, with their number in the union. */
export const MAIN_TYPES = {
  ArgMax: 2,
  Axis: 4,
  BinaryOp: 6,
  Blob: 7,
  CastParam: 8,
  Convolution2D: 9,
  GatherV2: 19,
  Input: 21,
  MatMul: 25,
  Permute: 29,
  Pool: 31,
  Range: 47,
  ReductionParam: 50,
  Relu: 51,
  Relu6: 52,
  Reshape: 55,
  Slice: 61,
  SqueezeParam: 64,
  StridedSliceParam: 65,
  TensorConvertInfo: 66,
  TopKV2: 68,
  UnaryOp: 70,
  PadParam: 84,
  LayerNorm: 88,
  CumSum: 94,
} as const;

/** Bytes of one element of every scalar type. */
export const SCALAR_BYTES = {
  bool: 1,
  int8: 1,
  uint8: 1,
  int32: 4,
  uint32: 4,
  float32: 4,
  int64: 8,
} as const;

/** Name of a scalar type. */
export type ScalarName = keyof typeof SCALAR_BYTES;

/** Name of a table. */
export type TableName = keyof typeof TABLES;

/** Name of a table of parameters. */
export type MainName = keyof typeof MAIN_TYPES;

/** Bytes in memory, or bytes that a writer pulls when it gets to them. */
export type LazyBytes = Uint8Array | TensorSource;

type VectorOf<Element extends string> = Element extends 'int8' | 'uint8'
  ? LazyBytes
  : Element extends 'float32'
    ? Float32Array | TensorSource
    : Element extends 'string'
      ? readonly string[]
      : Element extends TableName
        ? readonly Table<Element>[]
        : readonly number[];

type ValueOf<Type extends string> = Type extends 'bool'
  ? boolean
  : Type extends ScalarName
    ? number
    : Type extends 'string'
      ? string
      : Type extends 'main'
        ? Main
        : Type extends `[${infer Element}]`
          ? VectorOf<Element>
          : Type extends TableName
            ? Table<Type>
            : never;

type FieldType<Field> = Field extends readonly [number, infer Type extends string] ? Type : never;

/** A table as a plain record. Absent fields have the schema's default, which readers apply. */
export type Table<Name extends TableName> = {
  readonly [Field in keyof (typeof TABLES)[Name]]?: ValueOf<
    FieldType<(typeof TABLES)[Name][Field]>
  >;
};

/** The parameters of an op: which table, and the table. */
export type Main = {
  readonly [Name in MainName]: { readonly kind: Name; readonly value: Table<Name> };
}[MainName];
