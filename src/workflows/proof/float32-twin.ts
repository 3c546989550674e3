import { join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { gatherBeforeCast } from '../../passes/gather-before-cast.ts';
import { runPasses } from '../../passes/pass.ts';
import { saveModel } from '../../storage/model-file.ts';

/**
 * Writes the float32-activation twin of a model into a folder and returns its path. Weights stay references to
 * the original file where the file system can link to it; `onCopy` hears of others. For a model of float32 alone
 * the twin is the model itself, so its path is returned and nothing is written.
 */
export async function saveFloat32Twin(
  source: ModelOnDisk,
  folder: string,
  onCopy?: (path: string) => void,
): Promise<string> {
  const twin = runPasses(source.model, [convertToFloat32, gatherBeforeCast]);
  if (twin === source.model && !source.isWidened) return source.path;
  const path = join(folder, 'float32-twin.onnx');
  await saveModel(twin, path, { referenceWeights: true, onCopy });
  return path;
}

/**
 * Returns the file that onnxruntime runs for a model on a CPU: its own, or the float32 twin of one that computes
 * in bfloat16, written into a folder. Widening is exact, so the twin is what the source would give.
 */
export async function runnableFile(
  source: ModelOnDisk,
  folder: string,
  onCopy?: (path: string) => void,
): Promise<string> {
  return source.isWidened ? saveFloat32Twin(source, folder, onCopy) : source.path;
}
