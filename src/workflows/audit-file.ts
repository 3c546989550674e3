import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { auditFusion, type FusionAudit } from '../quantize/audit-fusion.ts';
import { type Lowering, ONNXRUNTIME_LOWERING } from '../quantize/lowering.ts';
import type { QuantizationPlan } from '../quantize/quantization-plan.ts';
import { onnxruntimeRunner } from '../runners/onnxruntime.ts';
import { openModel } from '../storage/model-file.ts';

/** Loads a written model in onnxruntime on the CPU and says which planned layers it runs as integers. */
export async function auditFile(
  path: string,
  plan: QuantizationPlan,
  lowering: Lowering = ONNXRUNTIME_LOWERING,
): Promise<FusionAudit> {
  const folder = await mkdtemp(join(tmpdir(), 'autoglm-audit-'));
  try {
    const optimizedModelPath = join(folder, 'optimized.onnx');
    const session = await onnxruntimeRunner.load(path, { device: 'cpu', optimizedModelPath });
    await session.close();
    // onnxruntime leaves external weights where they are and names them as the input did.
    return auditFusion(await openModel(optimizedModelPath, { dataOf: path }), plan, lowering);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
