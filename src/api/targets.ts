/** Whom an artifact can be written for, and a plan carried out as an ONNX model. */
export type { Finding } from '../targets/finding.ts';
export { TARGETS } from '../targets/index.ts';
export { type ApplyOptions, applyQuantization } from '../targets/onnx/apply.ts';
export {
  type Lowering,
  ONNXRUNTIME_LOWERING,
  TENSORRT_LOWERING,
} from '../targets/onnx/lowering.ts';
export type { Lowered, LoweringRequest, Target, TargetWriter } from '../targets/target.ts';
export { lintQdq } from '../targets/tensorrt/lint-qdq.ts';
