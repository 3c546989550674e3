import { UnsupportedError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { whyNoIntegers } from '../../quantize/why-float.ts';
import { applyQuantization } from '../onnx/apply.ts';
import { integerLayers, TENSORRT_LOWERING, TENSORRT_TWIN_LOWERING } from '../onnx/lowering.ts';
import { buildScript, type ShapeRanges } from './build-script.ts';

/** One file of an artifact: a model still to be written, or its contents. */
export type TensorrtFile =
  | { readonly name: string; readonly model: Model }
  | {
      readonly name: string;
      readonly content: string | Uint8Array;
      readonly isExecutable?: boolean;
    };

/** What {@link writeTensorrt} needs beside model and plan. */
export interface TensorrtOptions {
  readonly shapes: ShapeRanges;
  /** Text of TensorRT's calibration cache for the float model. */
  readonly calibrationCache?: string;
  /** onnxruntime's calibration tables, as made by calibrate. */
  readonly tables?: readonly { readonly name: string; readonly content: string | Uint8Array }[];
  readonly kernel?: WeightKernel;
}

/** File names of the artifact. */
export const TENSORRT_FILES = {
  quantized: 'model.int8.qdq.onnx',
  calibrationCache: 'calibration.cache',
  script: 'build_engine.sh',
} as const;

/**
 * Returns the files of a TensorRT artifact: the explicit Q/DQ model (scales of the type of the
 * activations, FP16 for an FP16 source), the float baseline, calibration tables for TensorRT up to
 * 10.16, and the script that builds the engine. Weights stay lazy; saving is up to the caller.
 * Deterministic. Throws {@link UnsupportedError} when the plan has no W8A8 layer, and as
 * {@link applyQuantization} and {@link buildScript} do.
 */
export function writeTensorrt(
  model: Model,
  plan: QuantizationPlan,
  options: TensorrtOptions,
): readonly TensorrtFile[] {
  const { calibrationCache, tables = [], kernel, shapes } = options;
  if (integerLayers(plan, TENSORRT_LOWERING).length === 0) {
    const inner = plan.layers.find(({ scheme, body }) => scheme === 'w8a8' && body !== undefined);
    throw inner === undefined ? nothingForTensorrt(plan) : allInBodies(plan, inner);
  }
  const float = floatFileName(plan);
  const quantized = applyQuantization(model, plan, {
    lowering: TENSORRT_LOWERING,
    ...(kernel !== undefined && { kernel }),
  });
  const hasCache = calibrationCache !== undefined;
  const script = buildScript(model, shapes, {
    quantized: TENSORRT_FILES.quantized,
    float,
    ...(hasCache && { calibrationCache: TENSORRT_FILES.calibrationCache }),
  });
  return [
    { name: TENSORRT_FILES.quantized, model: quantized },
    { name: float, model },
    ...(hasCache ? [{ name: TENSORRT_FILES.calibrationCache, content: calibrationCache }] : []),
    ...tables,
    { name: TENSORRT_FILES.script, content: script, isExecutable: true },
  ];
}

/**
 * Returns the Q/DQ model of the artifact in FP32, for a check on CPU: the same INT8 weights and the
 * same FP16-rounded scale values, in forms that onnxruntime runs as integers.
 */
export function toFloat32ScaleTwin(
  model: Model,
  plan: QuantizationPlan,
  kernel?: WeightKernel,
): Model {
  return applyQuantization(model, plan, {
    lowering: TENSORRT_TWIN_LOWERING,
    ...(kernel !== undefined && { kernel }),
  });
}

function nothingForTensorrt(plan: QuantizationPlan): UnsupportedError {
  const { recipe, totals } = plan;
  const obstacles = whyNoIntegers(plan);
  return new UnsupportedError(
    obstacles === undefined
      ? `tensorrt: INT8 needs quantized activations (got recipe ${recipe.name} with ` +
          `${totals.layers.w8a16} weight-only layers, expected at least one W8A8 layer). ` +
          'Quantize with recipe w8a8: TensorRT folds weight-only INT8 back to float.'
      : `tensorrt: INT8 needs quantized activations, and recipe ${recipe.name} can give them to no layer ` +
          `of this model (got ${obstacles}). Build the engine from the float model.`,
  );
}

/** TensorRT takes tensor types literally, so the baseline is named after what it holds. */
function floatFileName(plan: QuantizationPlan): string {
  const isFloat16 = plan.layers.some(({ weight }) => weight.dataType === 'float16');
  return isFloat16 ? 'model.fp16.onnx' : 'model.fp32.onnx';
}

function allInBodies({ layers }: QuantizationPlan, { body }: PlannedLayer): UnsupportedError {
  const count = layers.filter(({ scheme }) => scheme === 'w8a8').length;
  return new UnsupportedError(
    `tensorrt: nothing would be INT8 (got ${count} W8A8 layers, all in bodies such as ${body}, which stay ` +
      'float there; expected at least one in the main graph). Export to onnx, or export the model with ' +
      'and without a cache as two models.',
  );
}
