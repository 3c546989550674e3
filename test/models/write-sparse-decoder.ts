import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { TensorSource } from '../../src/ir/tensor.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { type GlmWidths, makeGlmDecoder } from './glm-decoder.ts';

/** Offsets of external data are aligned for memory mapping. */
const ALIGNMENT = 4096;

/**
 * Writes a decoder whose weights are holes: `model.onnx` of about a megabyte beside a file that is as long as
 * real weights and takes no space on disk. Returns the path of the model and the length of the weights.
 */
export async function writeSparseDecoder(
  folder: string,
  widths: GlmWidths,
): Promise<{ readonly path: string; readonly weightByteLength: number }> {
  const weights = join(folder, 'weights.bin');
  let end = 0;
  let weightByteLength = 0;
  const model = makeGlmDecoder(widths, (_, byteLength): TensorSource => {
    const offset = end;
    end = Math.ceil((end + byteLength) / ALIGNMENT) * ALIGNMENT;
    weightByteLength += byteLength;
    return {
      byteLength,
      slice: { path: weights, offset },
      async read(into) {
        into.fill(0);
      },
    };
  });
  const file = openSync(weights, 'w');
  ftruncateSync(file, end);
  closeSync(file);
  const path = join(folder, 'model.onnx');
  await saveModel(model, path, { referenceWeights: true });
  return { path, weightByteLength };
}
