/** Adds up second moments of activations in onnxruntime, inside an observer process. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { openSession } from '../../runners/onnxruntime/session-host.ts';
import { toFloat32 } from '../../values/element-array.ts';
import type { TensorValue } from '../../values/tensor-value.ts';
import type { GramFile, GramOptions } from './activation-observer.ts';
import { GRAM_VALUES } from './gram-model.ts';

interface RunningGram {
  readonly width: number;
  rowCount: number;
  /** The whole sum or, in `squares`, its diagonal. */
  sum?: Tensor;
  readonly squares?: Float64Array;
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
      const seen = toFloat32(value);
      if (seen.length === 0) return;
      const data = weighRows(seen, width, options.capsRows === true);
      const rowCount = data.length / width;
      const known = grams.get(name) ?? emptyGram(width, options.maxWidth);
      grams.set(name, known);
      known.rowCount += rowCount;
      if (known.squares !== undefined) {
        addSquares(known.squares, data);
        return;
      }
      const x = new Tensor('float32', data, [rowCount, width]);
      const result = await session.run({ [vectors]: x, [before]: known.sum as Tensor });
      known.sum = result[after] as Tensor;
    },
    async write() {
      const files = new Map<string, GramFile>();
      for (const [name, { width, rowCount, sum, squares }] of grams) {
        const path = join(options.folder, `${options.prefix}${files.size}.f32`);
        const data =
          squares === undefined ? (sum?.data as Float32Array) : Float32Array.from(squares);
        await writeFile(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        const isSilent = data.every((value) => value === 0);
        files.set(name, { path, width, rowCount, isDiagonal: squares !== undefined, isSilent });
      }
      return files;
    },
  };
}

/**
 * Returns rows of `width` values as second moments take them: those that are not finite are zeros, as calibration leaves such
 * values out; with `caps` those whose sum of squares passes four times the median are scaled down to that. Squared errors
 * then count every token alike, the huge first ones of language models too.
 */
export function weighRows(values: Float32Array, width: number, caps: boolean): Float32Array {
  const squares = Float64Array.from({ length: values.length / width }, (_, row) => {
    let sum = 0;
    for (let index = row * width; index < (row + 1) * width; index++) sum += values[index]! ** 2;
    return sum;
  });
  const finite = squares.filter(Number.isFinite).sort();
  const median = finite[finite.length >> 1] ?? 0;
  const limit = caps && median > 0 ? 4 * median : Number.MAX_VALUE;
  if (squares.every((square) => square <= limit)) return values;
  return values.map((value, index) => {
    const square = squares[Math.floor(index / width)]!;
    if (!Number.isFinite(square)) return 0;
    return square > limit ? value * Math.sqrt(limit / square) : value;
  });
}

function emptyGram(width: number, maxWidth: number): RunningGram {
  if (width > maxWidth) return { width, rowCount: 0, squares: new Float64Array(width) };
  const sum = new Tensor('float32', new Float32Array(width * width), [width, width]);
  return { width, rowCount: 0, sum };
}

function addSquares(squares: Float64Array, data: Float32Array): void {
  const width = squares.length;
  for (let start = 0; start < data.length; start += width) {
    for (let index = 0; index < width; index++) {
      squares[index] = squares[index]! + data[start + index]! ** 2;
    }
  }
}
