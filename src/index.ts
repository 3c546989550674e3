/**
 * The public API of autoglm: what the command line is made of. Workflows do a whole job and touch the
 * disk; everything else takes values and returns values.
 */

export type { Manifest } from './artifact/manifest.ts';
export { type ModelOnDisk, openModelOnDisk } from './artifact/model-on-disk.ts';
export type {
  CalibrateResult,
  Diagnosis,
  ExportOutcome,
  ExportPlan,
  QuantizeOutcome,
  RunSummary,
} from './artifact/results.ts';
// Calibration: data sets, statistics that merge in any order, ranges made of them.
export {
  type CalibrateModelOptions,
  type CalibrationSource,
  calibrateModel,
} from './calibrate/calibrate-model.ts';
export {
  type CalibrationFile,
  mergeCalibrations,
  parseCalibration,
  serialiseCalibration,
} from './calibrate/calibration-file.ts';
export {
  type Dataset,
  type DatasetOptions,
  openDataset,
  type Sample,
} from './calibrate/dataset.ts';
export { RANGE_METHODS } from './calibrate/ranges/index.ts';
export type { RangeMethod } from './calibrate/ranges/range-method.ts';
export {
  emptyStatistics,
  mergeStatistics,
  observe,
  type TensorStatistics,
} from './calibrate/statistics.ts';
// Checks: measurements of an artifact against its source, judged by gates, as text of any form.
export type { CheckResult } from './check/check-result.ts';
export { parseCheckResult } from './check/check-result-schema.ts';
// Workflows: one per verb of the command line, loaded when called. They report through a Reporter and never print.
export { enforceGates, evaluateGates, type Gates } from './check/gates.ts';
// Errors: every failure that a person can cause or cure, with the exit code of its class.
export {
  AutoglmError,
  EXIT_CODE,
  type ExitCode,
  FormatError,
  GateFailedError,
  RunnerError,
  UnavailableError,
  UnsupportedError,
  UsageError,
} from './errors.ts';
// Models: a readonly graph with lazy weights, read from and written to ONNX files.
export {
  canonicalDomain,
  type Dim,
  type Graph,
  type Model,
  type Node,
  opsetVersion,
  type TensorType,
  type ValueInfo,
  type ValueType,
} from './ir/model.ts';
export {
  type DerivedRows,
  derivedSource,
  elementCount,
  inlineSource,
  inlineTensor,
  readTensorBytes,
  type Tensor,
  type TensorSource,
} from './ir/tensor.ts';
export { validate } from './ir/validate.ts';
export { PASSES } from './passes/index.ts';
export { type Pass, type PassContext, runPasses } from './passes/pass.ts';
export { inspectModel } from './quantize/inspect/inspect-model.ts';
export type { ModelSummary } from './quantize/inspect/model-summary.ts';
export { planQuantization } from './quantize/plan.ts';
export {
  type PlanCompressionOptions,
  type PlannedModel,
  planCompression,
} from './quantize/plan-compression.ts';
export {
  parseQuantizationFile,
  quantizationFile,
  serializeQuantizationFile,
} from './quantize/quantization-file.ts';
export type {
  ActivationRange,
  ActivationRanges,
  QuantizationPlan,
} from './quantize/quantization-plan.ts';
export type { SearchFile } from './quantize/search/search-file.ts';
export { BUILT_IN_RECIPES, builtInRecipe, parseRecipe } from './recipe/load.ts';
export type { Recipe } from './recipe/recipe.ts';
export {
  renderHtml,
  renderJson,
  renderJunit,
  renderMarkdown,
  renderTerminal,
  type TerminalOptions,
} from './report/index.ts';
// Runners: the runtimes that calibrate and judge.
export { chooseDevice, type DeviceChoice } from './runners/devices.ts';
export { RUNNERS } from './runners/index.ts';
export type { Device, LoadOptions, Runner, Session } from './runners/runner.ts';
export { type OpenOptions, openModel, type SaveOptions, saveModel } from './storage/model-file.ts';
// Passes: Model in, Model out; the same object back means that nothing changed. And recognition.
export type { Block } from './structure/block.ts';
export { findBlocks } from './structure/find-blocks.ts';
export { findLinears } from './structure/find-linears.ts';
export type { LinearLayer } from './structure/linear-layer.ts';
// TensorRT: the rules that a Q/DQ graph must keep.
export type { Finding } from './targets/finding.ts';
// Quantization: a recipe and ranges make a plan (plain data), a plan makes a model.
export { type ApplyOptions, applyQuantization } from './targets/onnx/apply.ts';
export { type Lowering, ONNXRUNTIME_LOWERING, TENSORRT_LOWERING } from './targets/onnx/lowering.ts';
export { lintQdq } from './targets/tensorrt/lint-qdq.ts';
export type { Feeds, TensorValue } from './values/tensor-value.ts';
/** Version of this package. */
export { VERSION } from './version.ts';
export {
  type ArtifactOptions,
  type CalibrateOptions,
  type CheckOptions,
  calibrate,
  check,
  diagnose,
  type ExportOptions,
  exportModel,
  inspectSensitivity,
  type ProgressEvent,
  type QuantizeOptions,
  quantize,
  type Reporter,
  type RunOptions,
  runPipeline,
  type SensitivityOptions,
  writeArtifact,
} from './workflows/index.ts';
