import { UnsupportedError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { whyNoIntegers } from '../../quantize/why-float.ts';
import { applyQuantization } from '../onnx/apply.ts';
import {
  integerLayers,
  type Lowering,
  TENSORRT_LOWERING,
  TENSORRT_TWIN_LOWERING,
  whyLeftFloat,
} from '../onnx/lowering.ts';
import type { Lowered, LoweringRequest, TargetWriter } from '../target.ts';
import { buildScript } from './build-script.ts';
import { withoutInexactScales } from './float16-scales.ts';
import { lintQdq } from './lint-qdq.ts';

/** File names of the artifact. */
const TENSORRT_FILES = {
  quantized: 'model.int8.qdq.onnx',
  script: 'build_engine.sh',
} as const;

/** Writes the Q/DQ model, the float baseline, calibration tables and the script that builds the engine. */
export const tensorrtWriter: TargetWriter = {
  isShaped: true,
  expected: [TENSORRT_FILES.quantized, TENSORRT_FILES.script],
  whyFloat: (layer) => whyLeftFloat(layer, TENSORRT_LOWERING),
  fit: (model, plan, kernel) => withoutInexactScales(model, plan, TENSORRT_LOWERING, kernel),
  lower,
  lint: lintQdq,
};

/**
 * Returns the explicit Q/DQ model (scales of the type of the activations, FP16 for an FP16 source), the
 * float baseline, calibration tables for TensorRT up to 10.16, and the script. Its twin is the Q/DQ model
 * in FP32: the same INT8 weights and the same FP16-rounded scale values, in forms that onnxruntime runs as
 * integers. Throws {@link UnsupportedError} when the plan has no W8A8 layer, and as
 * {@link applyQuantization} and {@link buildScript} do.
 */
function lower({ model, plan, kernel, shapes, tables }: LoweringRequest): Lowered {
  if (integerLayers(plan, TENSORRT_LOWERING).length === 0) {
    const inner = plan.layers.find(({ scheme, body }) => scheme === 'w8a8' && body !== undefined);
    throw inner === undefined ? nothingForTensorrt(plan) : allInBodies(plan, inner);
  }
  const float = floatFileName(plan);
  const cache = tables?.tensorrt;
  const script = buildScript(model, shapes, {
    quantized: TENSORRT_FILES.quantized,
    float,
    calibrationCache: cache?.name,
  });
  const written = (lowering: Lowering): Model =>
    applyQuantization(model, plan, { lowering, kernel });
  return {
    kind: 'tensorrt',
    entry: TENSORRT_FILES.quantized,
    files: [
      { name: TENSORRT_FILES.quantized, model: written(TENSORRT_LOWERING) },
      { name: float, model },
      ...(cache === undefined ? [] : [cache]),
      ...(tables?.onnxruntime ?? []),
      { name: TENSORRT_FILES.script, content: script, isExecutable: true },
    ],
    twin: {
      model: written(TENSORRT_TWIN_LOWERING),
      description: 'float32 twin with the same INT8 weights and float16-rounded scales',
    },
    compiled: TENSORRT_FILES.script,
  };
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
