import { join } from 'node:path';
import type { ModelOnDisk } from '../artifact/model-on-disk.ts';
import type { QuantizationPlan } from '../quantize/quantization-plan.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../storage/temporary-folder.ts';
import type { Reporter } from './progress.ts';
import type { DataChoice } from './project/open-data.ts';
import { verifySmoothing } from './proof/verify-smoothing.ts';
import { chooseTarget } from './stages/choose-target.ts';
import { artifactRequest } from './stages/export-model.ts';
import { type WrittenArtifact, writeArtifact as write } from './stages/write-artifact.ts';

/** Who an artifact is for, and what is needed to write it. */
export interface ArtifactOptions {
  /** Id of a target: `onnx`, `tensorrt`, `mnn`, `coreml`. */
  readonly target: string;
  /** Settings of the target itself. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  /** Bounds of inputs, as `--shape` takes them. */
  readonly shape?: readonly string[] | undefined;
  /** Calibration data: 4-bit weights are rounded by it, folds are tried on it, and it tells open shapes. */
  readonly data: DataChoice;
  /** Told of progress and warnings; nobody when absent. */
  readonly reporter?: Reporter | undefined;
}

const SILENT: Reporter = { progress: () => {}, note: () => {}, warn: () => {} };

/**
 * Writes a plan as the artifact of a target into a folder: the bytes that `autoglm export` writes, without its
 * manifest and check. Folds of smoothing are run against the source first; ONNX files are loaded in
 * onnxruntime. Throws UsageError for a target or setting that there is not, UnsupportedError for what the
 * target cannot hold.
 *
 * @example
 * ```ts
 * const source = await openModelOnDisk('model.onnx');
 * const dataset = await openDataset('calibration/mixed');
 * const calibration = await calibrateModel(source, dataset);
 * const { plan } = await planCompression(source.model, { recipe: 'w8a8', calibration });
 * await writeArtifact('out', source, plan, { target: 'mnn', data: { data: 'calibration/mixed' } });
 * ```
 */
export async function writeArtifact(
  folder: string,
  source: ModelOnDisk,
  plan: QuantizationPlan,
  options: ArtifactOptions,
): Promise<WrittenArtifact> {
  const { data: choice, shape = [], reporter = SILENT } = options;
  const chosen = await chooseTarget(options.target, options.settings ?? {});
  if (plan.smoothing !== undefined) await verifySmoothing(source, plan.smoothing, choice);
  const request = await artifactRequest({ source, plan, chosen, shape, choice }, reporter);
  const scratch = await makeTemporaryFolder('autoglm-artifact-');
  try {
    return await write(folder, join(scratch, 'twin.onnx'), request, reporter);
  } finally {
    await removeTemporaryFolder(scratch);
  }
}
