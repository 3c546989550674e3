/** What each verb returns, as `--json` prints it and reports show it. */
import type { CheckResult } from '../check/check-result.ts';
import type { Prunable } from '../prune/prunable.ts';
import type { PruningPlan } from '../prune/pruning-plan.ts';
import type { Recovered } from '../prune/recover/recover-weights.ts';
import type { WeightGrids } from '../quantize/inspect/find-weight-grids.ts';
import type { ModelSummary } from '../quantize/inspect/model-summary.ts';
import type { QuantizationPlan } from '../quantize/quantization-plan.ts';
import type { SearchFile } from '../quantize/search/search-file.ts';
import type { MachineReport } from '../runners/devices.ts';
import type { FusionAudit } from '../targets/onnx/audit-fusion.ts';
import type { Saturation } from '../targets/onnx/saturation.ts';
import type { Manifest, PruningSummary } from './manifest.ts';

/** What `inspect` found: where the model lies and what is in it. */
export interface Inspection {
  readonly schema: 'autoglm.inspect/1';
  readonly path: string;
  readonly files: readonly { readonly file: string; readonly byteLength: number }[];
  readonly summary: ModelSummary;
  /** Which of the weights that were sampled lie on a grid of 4 bits. */
  readonly weightGrids: WeightGrids;
}

/** What `inspect --prunable` found: where the model lies and what of it can be pruned. */
export interface PrunableOutcome extends Prunable {
  readonly schema: 'autoglm.prunable/1';
  readonly path: string;
}

/** What calibrating gave. */
export interface CalibrateResult {
  readonly schema: 'autoglm.calibrate/1';
  /** Null for a dry run. */
  readonly path: string | null;
  readonly samples: number;
  readonly calibrator: string;
  /**
   * Per tensor: values seen, range, and the scales of both forms. The range is null where there was no
   * value, the scales where there was none but zeros.
   */
  readonly tensors: readonly {
    readonly name: string;
    readonly count: number;
    readonly min: number | null;
    readonly max: number | null;
    readonly int8Scale: number | null;
    readonly uint8Scale: number | null;
    readonly uint8ZeroPoint: number | null;
    readonly method: string | null;
  }[];
}

/** What quantizing gave. */
export interface QuantizeResult {
  readonly schema: 'autoglm.quantize/1';
  readonly plan: QuantizationPlan;
  /** What a person should know of the plan: layers that the data did not fit, what stays float. */
  readonly warnings: readonly string[];
  /** Absent for a dry run. */
  readonly manifest?: Manifest;
  /** Null when the artifact is not for a runtime of this machine. */
  readonly fusion?: FusionAudit | null;
  /** Whether its integer products give the same sums on every CPU; null likewise. */
  readonly saturation?: Saturation | null;
  /** What was measured when a budget was given. */
  readonly search?: SearchFile;
}

/** What `quantize` prints: the result and where it lies (null for a dry run). */
export interface QuantizeOutcome extends QuantizeResult {
  readonly folder: string | null;
}

/** What pruning gave. */
export interface PruneResult {
  readonly schema: 'autoglm.prune/1';
  readonly plan: PruningPlan;
  /** What went, in figures; absent for a dry run. */
  readonly pruning?: PruningSummary;
  /** What least squares made of each weight that reads removed channels; absent for a dry run. */
  readonly recovered?: readonly Recovered[];
  readonly warnings: readonly string[];
  /** Absent for a dry run. */
  readonly manifest?: Manifest;
}

/** What `prune` prints: the result, its check where there was data, and where it lies (null for a dry run). */
export interface PruneOutcome extends PruneResult {
  readonly folder: string | null;
  /** Null without held-out data, and for a dry run. */
  readonly check: CheckResult | null;
}

/** What exporting gave. */
export interface ExportResult {
  readonly schema: 'autoglm.export/1';
  /** Id of the target. */
  readonly target: string;
  /** Lint findings are among its notes. */
  readonly manifest: Manifest;
  /** Null where no runtime of the target is on this machine, and nothing stands in for it. */
  readonly check: CheckResult | null;
}

/** What `export` prints: the result and where it lies. */
export interface ExportOutcome extends ExportResult {
  readonly folder: string;
}

/** What an export would do: the result of a dry run. */
export interface ExportPlan {
  readonly schema: 'autoglm.export-plan/1';
  readonly target: ExportResult['target'];
  readonly plan: QuantizationPlan;
}

/** What became of a stage. */
export interface StageOutcome {
  readonly name: string;
  readonly folder: string;
  readonly state: 'done' | 'up to date' | 'would run';
  readonly seconds: number;
  /** Files in the folder, sorted; empty for a dry run. */
  readonly files: readonly string[];
}

/** What `run` and verbs without a model did: the content of `run.json`, the only output with dates. */
export interface RunSummary {
  readonly schema: 'autoglm.run/1';
  readonly autoglm: string;
  readonly config: string;
  readonly model: string;
  readonly output: string;
  readonly finishedAt: string;
  readonly stages: readonly StageOutcome[];
  /** The check of the pipeline, when it has run. */
  readonly check: CheckResult | null;
}

/** What `doctor` found. */
export interface Diagnosis {
  readonly schema: 'autoglm.doctor/1';
  readonly autoglm: string;
  readonly machine: MachineReport;
  /** The version of MNN and the Python that has it, or why there is none and what to type. */
  readonly mnn: { readonly version: string; readonly python: string } | { readonly reason: string };
}
