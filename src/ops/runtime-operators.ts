import { canonicalDomain } from '../ir/model.ts';

/** Operators of ai.onnx that came after opset 11, with their first opset (ONNX 1.20). */
const LATER_OPERATORS: Readonly<Record<string, number>> = {
  AffineGrid: 20,
  Attention: 23,
  Bernoulli: 15,
  BitCast: 26,
  BitwiseAnd: 18,
  BitwiseNot: 18,
  BitwiseOr: 18,
  BitwiseXor: 18,
  BlackmanWindow: 17,
  CastLike: 15,
  Celu: 12,
  CenterCropPad: 18,
  Col2Im: 18,
  CumProd: 26,
  DFT: 17,
  DeformConv: 19,
  Einsum: 12,
  Gelu: 20,
  GreaterOrEqual: 12,
  GridSample: 16,
  GroupNormalization: 18,
  HammingWindow: 17,
  HannWindow: 17,
  HardSwish: 14,
  ImageDecoder: 20,
  LessOrEqual: 12,
  MelWeightMatrix: 17,
  Mish: 18,
  NegativeLogLikelihoodLoss: 12,
  Optional: 15,
  OptionalGetElement: 15,
  OptionalHasElement: 15,
  RMSNormalization: 23,
  RegexFullMatch: 20,
  RotaryEmbedding: 23,
  STFT: 17,
  SequenceMap: 17,
  SoftmaxCrossEntropyLoss: 12,
  StringConcat: 20,
  StringSplit: 20,
  Swish: 24,
  TensorScatter: 24,
  Trilu: 14,
};

/** Operators of ai.onnx since opset 11 or before, those that onnxruntime adds to this domain included. */
const OPERATORS: ReadonlySet<string> = new Set(
  `Abs Acos Acosh Add Affine And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
  BitShift Cast Ceil Clip Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvInteger
  ConvTranspose Cos Cosh Crop CumSum DepthToSpace DequantizeLinear Det DisentangledAttention_TRT Div
  Dropout DynamicQuantizeLinear DynamicSlice EfficientNMS_TRT Elu Equal Erf Exp Expand EyeLike Flatten
  Floor GRU GRUUnit Gather GatherElements GatherND Gemm GivenTensorFill GlobalAveragePool GlobalLpPool
  GlobalMaxPool Greater HardSigmoid Hardmax Identity If ImageScaler InstanceNormalization IsInf IsNaN
  LRN LSTM LayerNormalization LeakyRelu Less Log LogSoftmax Loop LpNormalization LpPool MatMul
  MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MemcpyFromHost
  MemcpyToHost Min Mod Mul MultilevelCropAndResize_TRT Multinomial Neg NonMaxSuppression NonZero Not
  OneHot Or PRelu Pad ParametricSoftplus Pow PyramidROIAlign_TRT QLinearConv QLinearMatMul
  QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal
  ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
  ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round Scale ScaledTanh Scan Scatter
  ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase
  SequenceInsert SequenceLength Shape Shrink Sigmoid Sign SimplifiedLayerNormalization Sin Sinh Size
  Slice Softmax Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze StringNormalizer Sub
  Sum Tan Tanh TfIdfVectorizer ThresholdedRelu Tile TopK Transpose Unique Unsqueeze Upsample Where Xor`.split(
    /\s+/,
  ),
);

/** Operators of com.microsoft (onnxruntime 1.30, ContribOperators.md). */
const CONTRIB_OPERATORS: ReadonlySet<string> = new Set(
  `Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu
  BifurcationDetector BitmaskBiasDropout BitmaskDropout CDist ComplexMul ComplexMulConj
  ConvTransposeWithDynamicPads CropAndResize DecoderAttention DecoderMaskedMultiHeadAttention
  DecoderMaskedSelfAttention DequantizeBFP DequantizeLinear DequantizeWithOrder DynamicQuantizeLSTM
  DynamicQuantizeMatMul DynamicTimeWarping EPContext EmbedLayerNormalization ExpandDims FastGelu
  FusedConv FusedGemm FusedMatMul FusedMatMulActivation GatedRelativePositionBias GatherBlockQuantized
  GatherND Gelu GemmFastGelu GemmFloat8 GemmaRotaryEmbedding GreedySearch GridSample GroupNorm
  GroupQueryAttention Inverse Irfft IsAllFinite LinearAttention LongformerAttention MatMulBnb4
  MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat MatMulNBits MaxpoolWithMask MoE MulInteger
  MultiHeadAttention MurmurHash3 NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool PackedAttention
  PackedMultiHeadAttention Pad PagedAttention QAttention QEmbedLayerNormalization QGemm QLinearAdd
  QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
  QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QMoE QOrderedAttention QOrderedGelu
  QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul QuantizeBFP QuantizeLinear
  QuantizeWithOrder QuickGelu Range ReduceSumInteger RelativePositionBias RemovePadding RestorePadding
  Rfft RotaryEmbedding SampleOp Sampling SkipGroupNorm SkipLayerNormalization
  SkipSimplifiedLayerNormalization Snpe SparseAttention SparseToDenseMatMul Tokenizer TorchEmbedding
  TransposeMatMul Trilu UnfoldTensor Unique WhisperBeamSearch WordConvEmbedding`.split(/\s+/),
);

/** Other domains that onnxruntime fills itself. */
const RUNTIME_DOMAINS: ReadonlySet<string> = new Set([
  'ai.onnx.ml',
  'com.microsoft.nchwc',
  'com.ms.internal.nhwc',
]);

/**
 * Says whether onnxruntime knows an operator itself, at an opset of ai.onnx. It then runs its own kernel, whatever a
 * file's function of that name says (seen on onnxruntime 1.30; ONNX leaves it to the runtime).
 */
export function isRuntimeOperator(domain: string, opType: string, opset: number): boolean {
  const canonical = canonicalDomain(domain);
  if (canonical === 'com.microsoft') return CONTRIB_OPERATORS.has(opType);
  if (canonical !== '') return RUNTIME_DOMAINS.has(canonical);
  const first = Object.hasOwn(LATER_OPERATORS, opType) ? LATER_OPERATORS[opType] : undefined;
  return OPERATORS.has(opType) || (first !== undefined && first <= opset);
}
