import { join } from 'node:path';
import type { Model } from '../ir/model.ts';
import { convertToFloat32 } from '../passes/convert-to-float32.ts';
import { gatherBeforeCast } from '../passes/gather-before-cast.ts';
import { runPasses } from '../passes/pass.ts';
import { saveModel } from '../storage/model-file.ts';

/**
 * Writes the float32-activation twin of a model into a folder and returns its path. Weights stay
 * references to the original file where the file system can link to it; `onCopy` hears of others. For a model without float16 the
 * twin is the model itself, so `original` is returned and nothing is written.
 */
export async function saveFloat32Twin(
  model: Model,
  original: string,
  folder: string,
  onCopy?: (path: string) => void,
): Promise<string> {
  const twin = runPasses(model, [convertToFloat32, gatherBeforeCast]);
  if (twin === model) return original;
  const path = join(folder, 'float32-twin.onnx');
  await saveModel(twin, path, { referenceWeights: true, onCopy });
  return path;
}
