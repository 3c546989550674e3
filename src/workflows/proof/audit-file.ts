import { join } from 'node:path';
import { cutModel } from '../../calibrate/cut-model.ts';
import { PART_BYTES, WHOLE_MODEL_BYTES } from '../../calibrate/part-limits.ts';
import { initializerBytes } from '../../ir/constants.ts';
import type { Model, Node } from '../../ir/model.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import { openModel, saveModel } from '../../storage/model-file.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { auditFusion, type FusionAudit } from '../../targets/onnx/audit-fusion.ts';

/** A fusion audit, and how the model was loaded for it. */
export interface FileAudit extends FusionAudit {
  /** 1 when the model was loaded whole; else it was loaded in so many parts, one after the other. */
  readonly parts: number;
}

/**
 * Loads a written model in onnxruntime on the CPU and says which planned layers it runs as integers.
 * A large model is cut at its residual stream, so that memory does not grow with it: onnxruntime repacks weights
 * when it loads.
 */
export async function auditFile(
  path: string,
  plan: QuantizationPlan,
  whyFloat?: (layer: PlannedLayer) => string | undefined,
  wholeModelBytes: number = WHOLE_MODEL_BYTES,
): Promise<FileAudit> {
  const written = await openModel(path);
  const parts =
    initializerBytes(written.graph) <= wholeModelBytes
      ? undefined
      : cutModel(
          written,
          written.graph.outputs.map(({ name }) => name),
          Math.min(PART_BYTES, wholeModelBytes),
        );
  if (parts === undefined) {
    return { ...auditFusion(await optimized(path, written), plan, whyFloat), parts: 1 };
  }
  const nodes: Node[] = [];
  for (const { model } of parts) nodes.push(...(await optimizedPart(model)));
  const all = { ...written, graph: { ...written.graph, nodes } };
  return { ...auditFusion(all, plan, whyFloat), parts: parts.length };
}

/** The nodes of a part as onnxruntime runs them. */
async function optimizedPart(part: Model): Promise<readonly Node[]> {
  const folder = await makeScratchFolder(part);
  try {
    const path = join(folder, 'part.onnx');
    await saveModel(part, path, { referenceWeights: true });
    return (await optimized(path, part)).graph.nodes;
  } finally {
    await removeTemporaryFolder(folder);
  }
}

async function optimized(path: string, model: Model): Promise<Model> {
  // Weights inside the .onnx file are written again.
  const folder = await makeScratchFolder(model);
  try {
    const optimizedModelPath = join(folder, 'optimized.onnx');
    const session = await onnxruntimeRunner.load(path, {
      device: 'cpu',
      optimizedModelPath,
      // Only the graph is asked for: weights need not be copied into a kernel's own layout.
      config: { 'session.disable_prepacking': '1' },
    });
    await session.close();
    // onnxruntime leaves external weights where they are and names them as the input did.
    return await openModel(optimizedModelPath, { dataOf: path });
  } finally {
    await removeTemporaryFolder(folder);
  }
}
