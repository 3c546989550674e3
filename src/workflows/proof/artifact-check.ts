import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { Dataset } from '../../calibrate/sample.ts';
import type { Gates } from '../../check/gates.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import type { DeviceChoice } from '../../runners/devices.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import type { Runner } from '../../runners/runner.ts';
import type { Artifact } from '../../storage/artifact.ts';

/** An artifact that is no ONNX file, and the runner that reads it. */
export interface ForeignArtifact extends Artifact {
  readonly runner: Runner;
  /** SHA-256 over the hashes of all files. */
  sha256(): Promise<string>;
}

/** What is compared, where, and how it is judged. */
export interface ArtifactCheck {
  readonly source: ModelOnDisk;
  readonly artifact: ModelOnDisk | ForeignArtifact;
  readonly dataset: Dataset;
  /** A device of the artifact's runner; an ONNX source runs on the same one, or else on the CPU. */
  readonly device: DeviceChoice;
  readonly requestedDevice: string;
  readonly gates: Gates;
  readonly seed: number;
  /** What the artifact was made by; its layers are then looked for in the optimised graph. */
  readonly plan?: QuantizationPlan | undefined;
  /** Why a planned layer was not written as integers; as in the form for onnxruntime when absent. */
  readonly whyFloat?: ((layer: PlannedLayer) => string | undefined) | undefined;
  /** In words a table has room for: `w8a8`. */
  readonly label: string;
  readonly measureLatency: boolean;
  /** Tokens that are timed, and the past of the decode step; 128 when absent. */
  readonly contextLength?: number | undefined;
  /** Runtimes the artifact is meant for that did not run here. */
  readonly notVerified: readonly string[];
}

/** Returns the artifact where it is an ONNX model. */
export function onnxOf(artifact: ArtifactCheck['artifact']): ModelOnDisk | undefined {
  return 'model' in artifact ? artifact : undefined;
}

/** Returns the runner that loads an artifact. */
export function runnerOf(artifact: ArtifactCheck['artifact']): Runner {
  return 'runner' in artifact ? artifact.runner : onnxruntimeRunner;
}

/** Returns where the source runs: devices of another runtime than onnxruntime mean nothing to it, so on the CPU then. */
export function sourceDevice({ artifact, device }: ArtifactCheck): string {
  return onnxOf(artifact) === undefined ? 'cpu' : device.device;
}
