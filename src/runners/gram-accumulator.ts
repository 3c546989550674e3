/** Adds up second moments of activations in onnxruntime, inside an observer process. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { GramFile, GramOptions } from '../calibrate/activation-observer.ts';
import { toFloat32 } from '../calibrate/element-array.ts';
import { GRAM_VALUES } from '../calibrate/gram-model.ts';
import type { TensorValue } from './runner.ts';
import { openSession } from './session-host.ts';

interface RunningGram {
  readonly width: number;
  rowCount: number;
  sum: Tensor;
}

/** Sums of x * transpose(x) by value name. */
export interface GramAccumulator {
  /** Adds every vector along the last axis of `value`. */
  add(name: string, value: TensorValue): Promise<void>;
  /** Writes what was added up, a file a value, and says where. */
  write(): Promise<ReadonlyMap<string, GramFile>>;
}

/** Returns sums of zero. */
export async function openGramAccumulator(options: GramOptions): Promise<GramAccumulator> {
  const session: InferenceSession = await openSession({
    model: options.model,
    options: { device: 'cpu' },
  });
  const grams = new Map<string, RunningGram>();
  const { vectors, before, after } = GRAM_VALUES;
  return {
    async add(name, value) {
      const width = value.dims.at(-1) ?? 1;
      const data = toFloat32(value);
      const rowCount = data.length / width;
      if (rowCount === 0) return;
      const known = grams.get(name) ?? {
        width,
        rowCount: 0,
        sum: new Tensor('float32', new Float32Array(width * width), [width, width]),
      };
      grams.set(name, known);
      const x = new Tensor('float32', data, [rowCount, width]);
      const result = await session.run({ [vectors]: x, [before]: known.sum });
      known.sum = result[after] as Tensor;
      known.rowCount += rowCount;
    },
    async write() {
      const files = new Map<string, GramFile>();
      for (const [name, { width, rowCount, sum }] of grams) {
        const path = join(options.folder, `${options.prefix}${files.size}.f32`);
        const data = sum.data as Float32Array;
        await writeFile(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        files.set(name, { path, width, rowCount });
      }
      return files;
    },
  };
}
