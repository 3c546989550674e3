import type { z } from 'zod';
import type { Model } from '../ir/model.ts';
import type { WeightKernel } from '../numerics/weight-kernel.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantize/quantization-plan.ts';
import type { ReadInputMoments } from '../quantize/weights/input-moments.ts';
import type { Finding } from './finding.ts';
import type { ShapeRanges } from './shapes.ts';

/**
 * Who reads an artifact. A target is this value, exported as a constant from a folder of its own and listed in
 * `TARGETS`; it is light, so that help knows its name and options without loading what writes it.
 */
export interface Target {
  /** What `--target`, the config and the manifest call it; also the folder of its stage. */
  readonly id: string;
  /** Half a sentence for help: `ONNX for onnxruntime and transformers.js`. */
  readonly summary: string;
  /**
   * Settings of its own, each described. The command line makes a flag of each (`blockSize` is
   * `--block-size`), a config takes them as keys.
   */
  readonly options: z.ZodObject;
  load(): Promise<TargetWriter>;
}

/** What a target makes of a plan. Pure but for {@link TargetWriter.fit} and lint, which read weights. */
export interface TargetWriter {
  /** True when an artifact knows bounds of its inputs: a request then has one for each open input. */
  readonly isShaped: boolean;
  /** True when `lower` writes the model that is `quantized` already, where a request has it. */
  readonly takesQuantized?: boolean;
  /** True when INT8 weights beside INT8 activations are rounded by second moments, where a request has them. */
  readonly roundsInt8?: boolean;
  /** Names that an artifact is sure to have at the top of its folder. */
  readonly expected: readonly string[];
  /** Returns why a planned layer stays float in this target, undefined when it does not. */
  whyFloat(layer: PlannedLayer): string | undefined;
  /**
   * Returns the plan as the target can hold it; absent when it holds every plan. Layers that it takes
   * back are `float` with a reason. May read weights.
   */
  fit?(model: Model, plan: QuantizationPlan, kernel: WeightKernel): Promise<QuantizationPlan>;
  /**
   * Returns the artifact, weights lazy. Deterministic. Throws UnsupportedError for what the target cannot
   * hold, before any weight is read.
   */
  lower(request: LoweringRequest): Lowered;
  /** Returns what is wrong with the written entry, where it is ONNX; errors refuse the export. */
  lint?(entry: Model): Promise<readonly Finding[]>;
}

/** What an artifact is made of. */
export interface LoweringRequest {
  /** The float model that was planned; its weights are lazy. */
  readonly model: Model;
  readonly plan: QuantizationPlan;
  /** As the target's own schema has parsed them. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Empty for targets that are not shaped. */
  readonly shapes: ShapeRanges;
  /** Arithmetic on weights; one in this thread when absent. */
  readonly kernel?: WeightKernel | undefined;
  /** Second moments of the inputs of layers that are rounded by them. */
  readonly moments?: ReadInputMoments | undefined;
  /**
   * The plan carried out in the form for onnxruntime, where a stage of the pipeline has written it already and
   * the target takes it, so that nothing is quantized twice.
   */
  readonly quantized?: Model | undefined;
  /** Calibration tables of the float model, where it was calibrated. */
  readonly tables?: CalibrationTables | undefined;
}

/** Tables that some runtimes read beside a float model. */
export interface CalibrationTables {
  /** TensorRT's calibration cache; absent when a name of the model cannot stand in it. */
  readonly tensorrt?: TableFile | undefined;
  /** Those of onnxruntime's TensorRT execution provider. */
  readonly onnxruntime: readonly TableFile[];
}

/** A table by the name that its reader looks for. */
export interface TableFile {
  readonly name: string;
  readonly content: string | Uint8Array;
}

/** An artifact about to be written. */
export interface Lowered {
  /** What a runner must read to run it: `onnx`, `tensorrt`. */
  readonly kind: string;
  /** The file that a runtime is told to open, relative to the folder. */
  readonly entry: string;
  readonly files: readonly ArtifactFile[];
  /** Those that a runtime reads, which count as its size; all when absent. */
  readonly read?: readonly string[];
  /** What a person should know of this artifact: what a form leaves out, what it assumes. */
  readonly findings?: readonly Finding[];
  /** The same integers as ONNX for onnxruntime, for targets whose own runtime cannot judge them here. */
  readonly twin?: Twin;
  /** The file that the compiler of this kind is given, where one builds for the device it runs on. */
  readonly compiled?: string;
}

/** A model that stands in for an artifact in a check. */
export interface Twin {
  readonly model: Model;
  /** What it has in common with the artifact, for the manifest. */
  readonly description: string;
}

/** One file of an artifact, its name relative to the folder with `/`. */
export type ArtifactFile =
  | {
      readonly name: string;
      readonly model: Model;
      /** Name of its external data beside it; `<name>.data` when absent. */
      readonly dataFileName?: string;
    }
  | {
      readonly name: string;
      readonly content: string | Uint8Array;
      readonly isExecutable?: boolean;
    }
  | {
      readonly name: string;
      /** Returns the contents from the start, in pieces of at most a few MiB. */
      read(): AsyncIterable<Uint8Array>;
    };
