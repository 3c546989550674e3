import type { Model } from '../../ir/model.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import type { ReadInputMoments } from '../../quantize/weights/input-moments.ts';
import { saveModel } from '../../storage/model-file.ts';
import { applyQuantization } from '../../targets/onnx/apply.ts';
import type { FusionAudit } from '../../targets/onnx/audit-fusion.ts';
import type { Lowering } from '../../targets/onnx/lowering.ts';
import { takeBackUnfused } from '../../targets/onnx/take-back-unfused.ts';
import { createWeightWorkerPool } from '../../workers/weight-worker-pool.ts';
import type { Reporter } from '../progress.ts';
import { auditFile } from '../proof/audit-file.ts';
import { refusingUnloadable, requireLoadable } from '../proof/load-artifact.ts';

/** What to write. */
export interface WriteRequest {
  readonly source: Model;
  readonly plan: QuantizationPlan;
  readonly lowering: Lowering;
  /** Second moments of the inputs of 4-bit layers, where the plan rounds by them. */
  readonly moments: ReadInputMoments | undefined;
}

/** What was written: the plan, which may have been changed, and what onnxruntime made of the file. */
export interface WrittenModel {
  readonly plan: QuantizationPlan;
  /** Null when the model is not for onnxruntime. */
  readonly fusion: FusionAudit | null;
}

/**
 * Writes a quantized model and looks for its layers in the graph that onnxruntime makes of it. Where some
 * did not fuse the model is written once more, with these as {@link takeBackUnfused} has them, and looked at
 * again.
 */
export async function writeQuantized(
  path: string,
  request: WriteRequest,
  reporter: Reporter,
): Promise<WrittenModel> {
  const { source, plan, lowering } = request;
  await save(path, request, reporter);
  if (lowering.shapedFor === 'tensorrt') {
    await requireLoadable(path);
    return { plan, fusion: null };
  }
  const fusion = await auditLoadable(path, plan);
  const left = takeBackUnfused(source, plan, fusion);
  if (left === plan) return { plan, fusion };
  const { length } = fusion.unfused;
  reporter.note(`${length} layers did not fuse in onnxruntime: written again without them.`);
  await save(path, { ...request, plan: left }, reporter);
  return { plan: left, fusion: await auditLoadable(path, left) };
}

/** A model that is audited whole has been loaded; one in parts is loaded whole besides. */
async function auditLoadable(path: string, plan: QuantizationPlan): Promise<FusionAudit> {
  const { parts, ...audit } = await refusingUnloadable(path, path, () => auditFile(path, plan));
  if (parts > 1) await requireLoadable(path);
  return audit;
}

/** Returns a warning when most of the layers that were planned as integers did not become integer kernels. */
export function fusionWarnings({ fusion, plan }: WrittenModel): readonly string[] {
  if (fusion === null) return [];
  const { planned, unfused, takenBack } = fusion;
  const astray = [...unfused, ...takenBack];
  const float = takenBack.filter(({ scheme }) => scheme === 'float').length;
  if (astray.length === 0 || 2 * astray.length <= planned + float) return [];
  const [first] = astray;
  const slow = unfused.length > 0 ? `, ${unfused.length} of them run slower than float` : '';
  return [
    `${astray.length} of ${planned + float} layers did not fuse in onnxruntime as recipe ${plan.recipe.name} has ` +
      `them (${first?.layer}: ${first?.reason})${slow}. Measure with "autoglm check" before use.`,
  ];
}

async function save(
  path: string,
  { source, plan, lowering, moments }: WriteRequest,
  reporter: Reporter,
): Promise<void> {
  const total = plan.totals.bytesAfter;
  let reported = 0;
  const workers = createWeightWorkerPool();
  try {
    const model = applyQuantization(source, plan, {
      lowering,
      kernel: workers,
      ...(moments !== undefined && { moments }),
    });
    await saveModel(model, path, {
      onBytes: (written) => {
        // The graph itself comes after the weights that `total` counts.
        if (reported === total) return;
        reported = Math.min(written, total);
        reporter.progress({ task: 'write', done: reported, total, unit: 'bytes' });
      },
    });
  } finally {
    await workers.close();
  }
}
