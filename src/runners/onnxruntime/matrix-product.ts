import { RunnerError } from '../../errors.ts';
import { type MatrixProduct, multiplyHere } from '../../numerics/matrix.ts';
import type { SessionCommands } from './session-commands.ts';
import { startOnnxruntime } from './start-onnxruntime.ts';

/** A model of y [m, n] = a [m, k] * transpose(b [n, k]) in float64 (Gemm, opset 13). */
const PRODUCT = Buffer.from(
  'CAg6ZwoeCgFhCgFiEgF5IgRHZW1tKg0KBnRyYW5zQhgBoAECEgBaFQoBYRIQCg4ICxIKCgMSAW0KAxIBa1oVCgFiEhAKDggL' +
    'EgoKAxIBbgoDEgFrYhUKAXkSEAoOCAsSCgoDEgFtCgMSAW5CBAoAEA0=',
  'base64',
);

/** Multiplications below which sending the numbers takes longer than multiplying them here. */
const WORTH_SENDING = 2 ** 20;

/** Products that run in a process of their own. */
export interface OpenProduct {
  readonly multiply: MatrixProduct;
  close(): Promise<void>;
}

/**
 * Returns products in float64 by onnxruntime's matrix kernels on all threads of the CPU, some fifty times as fast as loops of
 * ours; small ones are made here. Throws UnavailableError when onnxruntime is not installed.
 */
export async function openMatrixProduct(): Promise<OpenProduct> {
  const child = startOnnxruntime<SessionCommands>(import.meta.url, 'session-process');
  const { session } = await child
    .call('open', { model: PRODUCT, options: { device: 'cpu' } })
    .catch(async (error: unknown) => {
      await child.stop();
      throw error;
    });
  return {
    async multiply(left, right) {
      const { rows, columns: depth } = left;
      const columns = right.rows;
      if (rows * columns * depth < WORTH_SENDING) return multiplyHere(left, right);
      const feeds = new Map([
        ['a', { dataType: 'float64', dims: [rows, depth], data: left.values } as const],
        ['b', { dataType: 'float64', dims: [columns, depth], data: right.values } as const],
      ]);
      const outputs = await child.call('run', { session, feeds, fetches: undefined });
      const values = outputs.get('y')?.data;
      if (!(values instanceof Float64Array)) {
        throw new RunnerError('onnxruntime: a product of float64 did not give float64.');
      }
      return { rows, columns, values };
    },
    close: () => child.stop(),
  };
}
