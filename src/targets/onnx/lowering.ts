import type { ScaleType } from '../../numerics/affine.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import type { Recipe } from '../../recipe/recipe.ts';

/**
 * How one kind of artifact writes a plan. The plan names layers and ranges; this says which
 * integers, which scales and which shapes of graph a runtime wants.
 */
export interface Lowering {
  /** The target that reads it; a twin stands in for an artifact of another. */
  readonly id: 'onnx' | 'tensorrt' | 'tensorrt-twin';
  /** `float32` turns an FP16 model into its FP32-activation twin first; `source` keeps its types. */
  readonly activations: 'float32' | 'source';
  /** Integers of activations. onnxruntime 1.30 leaves MatMuls that share an int8 input unfused. */
  readonly activationType: 'uint8' | 'int8';
  /** `recipe` follows the recipe; TensorRT takes nothing but symmetric. */
  readonly symmetric: true | 'recipe';
  /**
   * INT8 weights beside INT8 activations. `pair-safe` int8 gives the same sums on every CPU; int8 over the
   * `full` range saturates on x86 before VNNI; uint8 about 128 holds the integers of the full range and
   * saturates nowhere, at three quarters of the speed there.
   */
  readonly productWeights: 'pair-safe' | 'full' | 'full-uint8';
  /** Scales are rounded to this type, in whichever type they are stored. */
  readonly scaleType: ScaleType | 'activations';
  /** What weight-only layers (4-bit ones stay 4-bit), dynamic ones and token tables become. */
  readonly weightOnly: 'int8' | 'float';
  /** Whether inputs of rank 2 need the bias-free Gemm, and transposes may stand behind a weight. */
  readonly shapedFor: 'onnxruntime' | 'tensorrt';
}

/** For onnxruntime on CPU and in browsers. */
export const ONNXRUNTIME_LOWERING: Lowering = {
  id: 'onnx',
  activations: 'float32',
  activationType: 'uint8',
  symmetric: 'recipe',
  productWeights: 'pair-safe',
  scaleType: 'float32',
  weightOnly: 'int8',
  shapedFor: 'onnxruntime',
};

/**
 * For TensorRT 10 and 11 (explicit quantization, strongly typed): symmetric INT8, scales of the
 * type of the activations, no node between a weight's DequantizeLinear and its product. Weight-only
 * layers stay float: a one-sided DequantizeLinear folds back to FP16 there and gains nothing.
 */
export const TENSORRT_LOWERING: Lowering = {
  id: 'tensorrt',
  activations: 'source',
  activationType: 'int8',
  symmetric: true,
  productWeights: 'full',
  scaleType: 'activations',
  weightOnly: 'float',
  shapedFor: 'tensorrt',
};

/**
 * The TensorRT form in FP32 for onnxruntime's CPU kernels: the same integers and the same
 * FP16-rounded scales. uint8 with zero point 128 spans what int8 with zero point 0 spans, and beside uint8
 * weights no CPU saturates, as no GPU does.
 */
export const TENSORRT_TWIN_LOWERING: Lowering = {
  id: 'tensorrt-twin',
  activations: 'float32',
  activationType: 'uint8',
  symmetric: true,
  productWeights: 'full-uint8',
  scaleType: 'float16',
  weightOnly: 'float',
  shapedFor: 'onnxruntime',
};

/** Returns the form in which `quantize` writes a recipe: float16 activations are for TensorRT. */
export function loweringOf({ activations }: Recipe): Lowering {
  return activations.dtype === 'float16' ? TENSORRT_LOWERING : ONNXRUNTIME_LOWERING;
}

/**
 * Returns the layers of a plan that a lowering writes as integers, in plan order; {@link whyLeftFloat} has the
 * reasons of the others.
 */
export function integerLayers(plan: QuantizationPlan, lowering: Lowering): readonly PlannedLayer[] {
  return plan.layers.filter((layer) => whyLeftFloat(layer, lowering) === undefined);
}

/** Returns why a lowering leaves a planned layer float, undefined when it does not. */
export function whyLeftFloat(
  { scheme, reason, body }: PlannedLayer,
  lowering: Lowering,
): string | undefined {
  if (scheme === 'float') return reason ?? 'recipe';
  if (lowering.weightOnly === 'int8') return undefined;
  if (scheme === 'w8a8x2') return 'w8a8x2: FP16 scales are too coarse for a residual plane';
  if (scheme !== 'w8a8') return `${scheme}: TensorRT folds INT8 weights alone back to float`;
  // No Q/DQ inside TensorRT's conditionals and loops has been seen to build.
  return body === undefined ? undefined : `lies in ${body}, where TensorRT has float`;
}
