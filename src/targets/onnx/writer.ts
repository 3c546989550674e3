import type { Lowered, LoweringRequest, TargetWriter } from '../target.ts';
import { applyQuantization } from './apply.ts';
import { ONNXRUNTIME_LOWERING, whyLeftFloat } from './lowering.ts';
import { onnxFileName } from './onnx-file-name.ts';

/** Writes `onnx/model_quantized.onnx` (`onnx/model_q4.onnx` with 4-bit layers) and its data. */
export const onnxWriter: TargetWriter = {
  isShaped: false,
  takesQuantized: true,
  roundsInt8: true,
  expected: ['onnx'],
  whyFloat: (layer) => whyLeftFloat(layer, ONNXRUNTIME_LOWERING),
  lower,
};

function lower({ model, plan, kernel, moments, quantized }: LoweringRequest): Lowered {
  const isInt4 = plan.layers.some(({ scheme }) => scheme === 'w4a16');
  const file = onnxFileName(isInt4 ? 'q4' : 'q8');
  const written = quantized ?? applyQuantization(model, plan, { kernel, moments });
  const entry = `onnx/${file}`;
  // transformers.js looks for the data by this name, whatever the source called its own.
  return {
    kind: 'onnx',
    entry,
    files: [{ name: entry, model: written, dataFileName: `${file}_data` }],
  };
}
