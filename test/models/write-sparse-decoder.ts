import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { TensorSource } from '../../src/ir/tensor.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { type GlmWidths, makeGlmDecoder } from './glm-decoder.ts';
import { randomRing, writeRing } from './random-ring.ts';

/** Offsets of external data are aligned for memory mapping. */
const ALIGNMENT = 4096;
/** Of the embedding, which is larger than a block, as much as the tokens of bytes and short words take. */
const EMBEDDING_BYTES = 64 * 2 ** 20;

/** Which weights are numbers; all others are holes. */
export type Filled = 'none' | 'ends' | 'all';

/**
 * Writes a decoder whose weights are holes: `model.onnx` of about a megabyte beside a file that is as long as
 * real weights and takes no space on disk. With `ends` the first and the last block hold random numbers, and so
 * do all norms and the first rows of the embedding: blocks of zeros in between pass the residual stream on as it
 * is. With `all` nothing is a hole. Returns the path of the model and the length of the weights.
 */
export async function writeSparseDecoder(
  folder: string,
  widths: GlmWidths,
  filled: Filled = 'none',
): Promise<{ readonly path: string; readonly weightByteLength: number }> {
  const weights = join(folder, 'weights.bin');
  const file = openSync(weights, 'w');
  const linear = randomRing('float16', 0, 0.04);
  const norm = randomRing('float16', 1, 0.2);
  let end = 0;
  let weightByteLength = 0;
  let turn = 0;
  let block = -1;
  const model = makeGlmDecoder(widths, (name, byteLength): TensorSource => {
    const offset = end;
    end = Math.ceil((end + byteLength) / ALIGNMENT) * ALIGNMENT;
    weightByteLength += byteLength;
    turn += 1;
    // Matrices have no names of their own: they follow the first norm of their block.
    block = Number(/layers\.(\d+)\./.exec(name)?.[1] ?? block);
    const isNorm = name.includes('norm');
    const isEnd = (block <= 0 || block === widths.layers - 1) && !name.includes('head');
    if (filled === 'all' || (filled === 'ends' && (isNorm || isEnd))) {
      const isTable = block < 0 && filled === 'ends';
      const length = isTable ? Math.min(byteLength, EMBEDDING_BYTES) : byteLength;
      writeRing(file, isNorm ? norm : linear, turn * 7919 * 2, offset, length);
    }
    return {
      byteLength,
      slice: { path: weights, offset },
      // Only of vectors so short that they go into the .onnx file.
      async read(into) {
        into.fill(0);
      },
    };
  });
  ftruncateSync(file, end);
  closeSync(file);
  const path = join(folder, 'model.onnx');
  await saveModel(model, path, { referenceWeights: true });
  return { path, weightByteLength };
}
