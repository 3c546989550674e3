/** Numbers with which `.mnn` files name things (MNN 3.6.1). Only what autoglm writes is here. */

/** `OpType` of an op. */
export const OP_TYPE = {
  ArgMax: 2,
  BinaryOp: 7,
  Cast: 9,
  Concat: 10,
  Const: 11,
  Convolution: 12,
  ConvolutionDepthwise: 13,
  GatherV2: 31,
  Input: 34,
  MatMul: 39,
  Padding: 45,
  Permute: 46,
  Pooling: 47,
  Range: 65,
  Reduction: 68,
  ReLU: 69,
  ReLU6: 70,
  Reshape: 73,
  Shape: 80,
  Size: 82,
  Slice: 83,
  Softmax: 85,
  Squeeze: 90,
  StridedSlice: 91,
  Tile: 98,
  TopKV2: 99,
  UnaryOp: 101,
  Unsqueeze: 107,
  GatherND: 115,
  BroadcastTo: 120,
  ConvertTensor: 129,
  ArgMin: 130,
  CumSum: 148,
  GatherElements: 152,
  Select: 257,
  LayerNorm: 603,
} as const;

/** Name of an op type. */
export type OpTypeName = keyof typeof OP_TYPE;

/** `DataType`. At run time MNN has float32 and int32 alone. */
export const DATA_TYPE = { float: 1, int32: 3, uint8: 4, int8: 6, half: 19 } as const;

/** `MNN_DATA_FORMAT`: NCHW is row-major for tensors of any rank; NC4HW4 is what convolutions take. */
export const DATA_FORMAT = { NCHW: 0, NHWC: 1, NC4HW4: 2 } as const;

/** `NetSource`: it decides that tensors of a module are NCHW, and that sizes of Slice are sizes. */
export const NET_SOURCE = { onnx: 3, torch: 4 } as const;

/** `BinaryOpOperation`. */
export const BINARY = {
  add: 0,
  sub: 1,
  mul: 2,
  pow: 6,
  realDiv: 7,
  minimum: 8,
  maximum: 9,
  greater: 10,
  greaterEqual: 11,
  less: 12,
  floorDiv: 13,
  equal: 15,
  lessEqual: 16,
  floorMod: 17,
  mod: 19,
  logicalOr: 21,
  notEqual: 22,
  logicalXor: 26,
} as const;

/** `UnaryOpOperation`. `gelu` is the approximation by tanh, `geluStandard` the one by erf. */
export const UNARY = {
  abs: 0,
  neg: 1,
  floor: 2,
  ceil: 3,
  square: 4,
  sqrt: 5,
  rsqrt: 6,
  exp: 7,
  log: 8,
  sin: 9,
  cos: 10,
  tan: 11,
  asin: 12,
  acos: 13,
  atan: 14,
  reciprocal: 15,
  acosh: 18,
  sinh: 19,
  asinh: 20,
  atanh: 21,
  sign: 22,
  round: 23,
  cosh: 24,
  erf: 25,
  sigmoid: 29,
  tanh: 30,
  hardSwish: 31,
  gelu: 32,
  geluStandard: 33,
  silu: 34,
} as const;

/** `ReductionType`. */
export const REDUCTION = { sum: 0, mean: 3, maximum: 4, minimum: 5, product: 6 } as const;

/** `IDSTQuan.type`: how the weights of a convolution are stored. */
export const QUANTIZED_TYPE = { blob: 1, half: 3 } as const;
