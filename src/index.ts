/**
 * The public API of autoglm: what the command line does, as functions that load their code when they are called. Values and
 * pure functions have entries of their own: `autoglm/ir`, `/onnx`, `/calibrate`, `/quantize`, `/targets`, `/runners`, `/report`.
 */

export {
  type CalibrateModelOptions,
  type CalibrationFile,
  type CalibrationSource,
  calibrateModel,
  type Dataset,
  type DatasetOptions,
  type ModelOnDisk,
  openDataset,
  openModelOnDisk,
  type PlanCompressionOptions,
  type PlannedModel,
  planCompression,
  type QuantizationPlan,
  type Sample,
} from './api/compress.ts';
export type { Manifest } from './artifact/manifest.ts';
export type {
  CalibrateResult,
  Diagnosis,
  ExportOutcome,
  ExportPlan,
  QuantizeOutcome,
  RunSummary,
} from './artifact/results.ts';
export type { CheckResult } from './check/check-result.ts';
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
/** Version of this package. */
export { VERSION } from './version.ts';
// Workflows: one per verb of the command line. They report through a Reporter and never print.
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
