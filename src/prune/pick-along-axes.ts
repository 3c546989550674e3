import { UnsupportedError } from '../errors.ts';
import { rawByteLength } from '../ir/data-type.ts';
import { derivedSource, inlineSource, type Tensor, type TensorSource } from '../ir/tensor.ts';

/** Bytes read from a weight at once. */
const READ_BYTES = 8 * 2 ** 20;
/** Runs of bytes that are worth a read of their own. */
const LONG_RUN = 4096;

/** A tensor as rows of equal length: which of them stay, and which runs of bytes of each. */
interface Picking {
  /** Source row of each row that stays. */
  readonly rows: (row: number) => number;
  readonly rowCount: number;
  readonly sourceRowBytes: number;
  /** Chunks of `chunkBytes` that stay of each row. */
  readonly chunks: readonly number[];
  readonly chunkBytes: number;
}

/**
 * Returns the tensor with the listed indices alone, in ascending order, along each axis that `kept` names. Bytes
 * are read only when somebody asks for them, at most 8 MiB at a time. Throws UnsupportedError for elements
 * that share a byte.
 */
export function pickAlongAxes(
  tensor: Tensor,
  kept: ReadonlyMap<number, readonly number[]>,
): Tensor {
  if (kept.size === 0) return tensor;
  const width = rawByteLength(tensor.dataType, 2);
  if (width === undefined || width % 2 !== 0 || rawByteLength(tensor.dataType, 1)! * 2 !== width) {
    throw new UnsupportedError(
      `${tensor.name}: channels cannot be cut from ${tensor.dataType} (expected whole bytes). Prune the float model.`,
    );
  }
  const dims = tensor.dims.map((dim, axis) => kept.get(axis)?.length ?? dim);
  const picking = describePicking(tensor.dims, kept, width / 2);
  return {
    ...tensor,
    dims,
    source: pickedSource(tensor.source, picking, keyOf(tensor.source, kept)),
  };
}

function describePicking(
  dims: readonly number[],
  kept: ReadonlyMap<number, readonly number[]>,
  elementBytes: number,
): Picking {
  const last = Math.max(...kept.keys());
  const chunkBytes = dims.slice(last + 1).reduce((product, dim) => product * dim, elementBytes);
  const leading = dims.slice(0, last).map((dim, axis) => ({ dim, kept: kept.get(axis) }));
  const places = kept.get(last)!;
  // Long runs are rows of their own, so that a matrix of gigabytes is never one row.
  if (chunkBytes >= LONG_RUN) {
    const axes = [...leading, { dim: dims[last]!, kept: places }];
    return { ...rowsOf(axes), sourceRowBytes: chunkBytes, chunks: [0], chunkBytes };
  }
  return {
    ...rowsOf(leading),
    sourceRowBytes: dims[last]! * chunkBytes,
    chunks: places,
    chunkBytes,
  };
}

/** Numbers the rows that stay in row-major order. */
function rowsOf(
  axes: readonly { readonly dim: number; readonly kept: readonly number[] | undefined }[],
): Pick<Picking, 'rows' | 'rowCount'> {
  const rowCount = axes.reduce((product, { dim, kept }) => product * (kept?.length ?? dim), 1);
  const rows = (row: number): number => {
    let [rest, source, stride] = [row, 0, 1];
    for (const { dim, kept } of axes.toReversed()) {
      const size = kept?.length ?? dim;
      const index = rest % size;
      source += (kept?.[index] ?? index) * stride;
      stride *= dim;
      rest = Math.floor(rest / size);
    }
    return source;
  };
  return { rows, rowCount };
}

function pickedSource(
  source: TensorSource,
  picking: Picking,
  key: string | undefined,
): TensorSource {
  const { rowCount, chunks, chunkBytes } = picking;
  const rowByteLength = chunks.length * chunkBytes;
  const { bytes } = source;
  if (bytes !== undefined) {
    const picked = new Uint8Array(rowCount * rowByteLength);
    for (let row = 0; row < rowCount; row++) {
      const start = picking.rows(row) * picking.sourceRowBytes;
      copyChunks(bytes.subarray(start), picking, picked.subarray(row * rowByteLength));
    }
    return inlineSource(picked, key);
  }
  return derivedSource({
    rowCount,
    rowByteLength,
    ...(key !== undefined && { key }),
    fill: (into, firstRow, count) => fillRows(source, picking, into, firstRow, count),
  });
}

function copyChunks(from: Uint8Array, { chunks, chunkBytes }: Picking, into: Uint8Array): void {
  chunks.forEach((chunk, index) => {
    const start = chunk * chunkBytes;
    into.set(from.subarray(start, start + chunkBytes), index * chunkBytes);
  });
}

/** Reads neighbouring source rows together. */
async function fillRows(
  source: TensorSource,
  picking: Picking,
  into: Uint8Array,
  firstRow: number,
  count: number,
): Promise<void> {
  const { sourceRowBytes, chunks, chunkBytes } = picking;
  const rowByteLength = chunks.length * chunkBytes;
  const most = Math.max(1, Math.floor(READ_BYTES / sourceRowBytes));
  const whole = rowByteLength === sourceRowBytes;
  const buffer = whole ? undefined : new Uint8Array(Math.min(most, count) * sourceRowBytes);
  for (let done = 0; done < count; ) {
    const start = picking.rows(firstRow + done);
    let run = 1;
    while (run < most && done + run < count && picking.rows(firstRow + done + run) === start + run)
      run++;
    const target = into.subarray(done * rowByteLength, (done + run) * rowByteLength);
    if (buffer === undefined) await source.read(target, start * sourceRowBytes);
    else {
      const read = buffer.subarray(0, run * sourceRowBytes);
      await source.read(read, start * sourceRowBytes);
      for (let row = 0; row < run; row++) {
        copyChunks(
          read.subarray(row * sourceRowBytes),
          picking,
          target.subarray(row * rowByteLength),
        );
      }
    }
    done += run;
  }
}

/** Equal cuts of equal bytes are equal: a weight that two layers share stays one. */
function keyOf(
  source: TensorSource,
  kept: ReadonlyMap<number, readonly number[]>,
): string | undefined {
  if (source.key === undefined) return undefined;
  const cuts = [...kept]
    .sort(([a], [b]) => a - b)
    .map(([axis, places]) => `${axis}:${ranges(places)}`);
  return `${source.key} picked ${cuts.join(' ')}`;
}

/** `0-3,7,9-12` */
export function ranges(places: readonly number[]): string {
  const parts: string[] = [];
  for (let index = 0; index < places.length; ) {
    let end = index;
    while (places[end + 1] === places[end]! + 1) end++;
    parts.push(index === end ? `${places[index]}` : `${places[index]}-${places[end]}`);
    index = end + 1;
  }
  return parts.join(',');
}
