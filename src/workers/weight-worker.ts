/**
 * The other side of weight-worker-pool.ts: runs the kernel in this thread on blocks that lie in
 * shared memory.
 */
import { parentPort } from 'node:worker_threads';
import { createWeightKernel, type WeightBlock } from '../numerics/weight-kernel.ts';

/** Work that gives a number per channel. */
export type MagnitudeTask = 'absMaxRows' | 'absMaxColumns' | 'pairSumRows' | 'pairSumColumns';

/** A piece of work: which rows, and where scales come from and results go. */
export interface WeightTask {
  readonly kind: MagnitudeTask | 'quantizeRows' | 'quantizeColumns';
  readonly block: WeightBlock;
  /** For quantize tasks: scales of these rows, or of all columns. */
  readonly scales?: Float32Array;
  readonly limit?: number;
  /** For quantize tasks: shared memory for the integers of these rows. */
  readonly into?: Int8Array;
}

/** Maxima, for magnitude tasks, or the message of an error. */
export interface WeightResult {
  readonly maxima?: Float32Array;
  readonly refused?: string;
}

const kernel = createWeightKernel();

async function compute(task: WeightTask): Promise<Float32Array | undefined> {
  const { kind, block, scales, limit, into } = task;
  if (kind !== 'quantizeRows' && kind !== 'quantizeColumns') return kernel[kind](block);
  await kernel[kind](block, scales!, limit!, into!);
  return undefined;
}

parentPort?.on('message', (task: WeightTask) => {
  compute(task).then(
    (maxima) => parentPort?.postMessage({ ...(maxima && { maxima }) } satisfies WeightResult),
    // Classes do not survive a message: the pool makes the error again.
    (error: Error) => parentPort?.postMessage({ refused: error.message } satisfies WeightResult),
  );
});
