import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { UnsupportedError } from '../errors.ts';
import {
  createWeightKernel,
  foldMaxima,
  type WeightBlock,
  type WeightKernel,
} from '../numerics/weight-kernel.ts';
import type { MagnitudeTask, WeightResult, WeightTask } from './weight-worker.ts';

/** A {@link WeightKernel} with threads, which must be closed. */
export interface WeightWorkerPool extends WeightKernel {
  /** Ends the threads; the kernel cannot be used afterwards. */
  close(): Promise<void>;
}

/** How many threads, and for what. */
export interface WeightWorkerOptions {
  /** One per core, at most 4, when absent: beyond that memory is the bottleneck. */
  readonly threadCount?: number;
  /** Smaller blocks stay in this thread, where they are done sooner; 1 MiB when absent. */
  readonly minByteLength?: number;
}

/**
 * Returns a kernel that splits the rows of large blocks over worker threads, which start with the
 * first such block. Results are those of the kernel of one thread. Blocks read into `input` are
 * shared with the threads as they lie; other bytes are copied to shared memory first. One block at a time.
 */
export function createWeightWorkerPool(options: WeightWorkerOptions = {}): WeightWorkerPool {
  const { threadCount = Math.min(availableParallelism(), 4), minByteLength = 2 ** 20 } = options;
  const local = createWeightKernel();
  let threads: readonly Thread[] = [];
  const input = growingBuffer();
  const output = growingBuffer();

  const isSmall = (block: WeightBlock): boolean =>
    threadCount < 2 || block.bytes.length < minByteLength;
  const share = (block: WeightBlock): WeightBlock => {
    if (block.bytes.buffer instanceof SharedArrayBuffer) return block;
    const bytes = input(block.bytes.length);
    bytes.set(block.bytes);
    return { ...block, bytes };
  };
  const runAll = (
    block: WeightBlock,
    taskOf: (part: WeightBlock) => WeightTask,
  ): Promise<readonly WeightResult[]> => {
    if (threads.length === 0) threads = Array.from({ length: threadCount }, startThread);
    const parts = splitRows(share(block), threadCount);
    return Promise.all(parts.map((part, index) => threads[index]!.run(taskOf(part))));
  };
  const quantizeWith = async (
    kind: 'quantizeRows' | 'quantizeColumns',
    block: WeightBlock,
    scales: Float32Array,
    limit: number,
    into: Int8Array,
  ): Promise<void> => {
    if (isSmall(block)) return local[kind](block, scales, limit, into);
    const start = block.firstRow ?? 0;
    const shared = output(into.length);
    const integers = new Int8Array(shared.buffer, 0, into.length);
    await runAll(block, (part) => {
      const first = (part.firstRow ?? 0) - start;
      const partScales =
        kind === 'quantizeRows' ? scales.slice(first, first + part.rowCount) : scales;
      const from = first * block.columnCount;
      const target = integers.subarray(from, from + part.rowCount * part.columnCount);
      return { kind, block: part, scales: partScales, limit, into: target };
    });
    into.set(integers);
  };
  const magnitudes = async (kind: MagnitudeTask, block: WeightBlock): Promise<Float32Array> => {
    if (isSmall(block)) return local[kind](block);
    const results = await runAll(block, (part) => ({ kind, block: part }));
    const parts = results.map(({ maxima }) => maxima!);
    const isByRow = kind === 'absMaxRows' || kind === 'pairSumRows';
    return isByRow ? concatenate(parts, block.rowCount) : foldAll(parts, block.columnCount);
  };

  return {
    input,
    absMaxRows: (block) => magnitudes('absMaxRows', block),
    absMaxColumns: (block) => magnitudes('absMaxColumns', block),
    pairSumRows: (block) => magnitudes('pairSumRows', block),
    pairSumColumns: (block) => magnitudes('pairSumColumns', block),
    quantizeRows: (...work) => quantizeWith('quantizeRows', ...work),
    quantizeColumns: (...work) => quantizeWith('quantizeColumns', ...work),
    close: async () => {
      await Promise.all(threads.map((thread) => thread.stop()));
    },
  };
}

function concatenate(parts: readonly Float32Array[], length: number): Float32Array {
  const whole = new Float32Array(length);
  let done = 0;
  for (const part of parts) {
    whole.set(part, done);
    done += part.length;
  }
  return whole;
}

function foldAll(parts: readonly Float32Array[], length: number): Float32Array {
  const maxima = new Float32Array(length);
  for (const part of parts) foldMaxima(maxima, part);
  return maxima;
}

interface Thread {
  run(task: WeightTask): Promise<WeightResult>;
  stop(): Promise<unknown>;
}

function startThread(): Thread {
  const worker = new Worker(workerFile());
  // An idle pool must not keep the process alive.
  worker.unref();
  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        worker.ref();
        const settle = (): void => {
          worker.off('message', onMessage).off('error', onError).unref();
        };
        const onMessage = (result: WeightResult): void => {
          settle();
          if (result.refused === undefined) resolve(result);
          else reject(new UnsupportedError(result.refused));
        };
        const onError = (error: Error): void => {
          settle();
          reject(error);
        };
        worker.on('message', onMessage).on('error', onError);
        worker.postMessage(task);
      }),
    stop: () => worker.terminate(),
  };
}

/** Threads run compiled code; when this file itself runs from src/ (under vitest), that lies in dist/. */
function workerFile(): string {
  const here = new URL(import.meta.url).href;
  const compiled = here.endsWith('.ts') ? here.replace('/src/workers/', '/dist/workers/') : here;
  return fileURLToPath(new URL('weight-worker.js', compiled));
}

/** Returns a function that hands out the same shared memory, grown when more is asked for. */
function growingBuffer(): (byteLength: number) => Uint8Array {
  let buffer = new SharedArrayBuffer(0);
  return (byteLength) => {
    if (buffer.byteLength < byteLength) buffer = new SharedArrayBuffer(byteLength);
    return new Uint8Array(buffer, 0, byteLength);
  };
}

/** Cuts a block into at most `count` parts of about equal, even numbers of rows, so that no pair is cut. */
function splitRows(block: WeightBlock, count: number): readonly WeightBlock[] {
  const { rowCount, bytes } = block;
  const pairs = Math.ceil(rowCount / 2);
  const parts = Math.min(count, Math.max(pairs, 1));
  const rowBytes = rowCount === 0 ? 0 : bytes.length / rowCount;
  return Array.from({ length: parts }, (_, index) => {
    const first = 2 * Math.floor((pairs * index) / parts);
    const end = Math.min(rowCount, 2 * Math.floor((pairs * (index + 1)) / parts));
    return {
      ...block,
      rowCount: end - first,
      firstRow: (block.firstRow ?? 0) + first,
      bytes: bytes.subarray(first * rowBytes, end * rowBytes),
    };
  });
}
