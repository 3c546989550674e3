import { availableParallelism } from 'node:os';
import type { Runner } from '../runner.ts';
import { findMnn } from './find-mnn.ts';
import { openMnn } from './mnn-session.ts';

/** Integer weights stay integers, and activations are rounded to INT8 in each run: how phones run language models. */
const LOW_MEMORY = 'cpu-low-memory';

/**
 * MNN from its Python package, in a process beside us. On `cpu` integer weights are computed with as floats; on
 * `cpu-low-memory` as integers. The package has no GPU outside of macOS.
 */
export const mnnRunner: Runner = {
  id: 'mnn',
  reads: ['mnn'],
  devices: ['cpu', LOW_MEMORY],
  independent: true,
  async version() {
    const found = await findMnn();
    return typeof found === 'string' ? 'MNN' : `MNN ${found.version}`;
  },
  async unavailable() {
    const found = await findMnn();
    return typeof found === 'string' ? found : undefined;
  },
  load: (path, { device, threads = availableParallelism() }) =>
    openMnn(path, {
      threads,
      memory: device === LOW_MEMORY ? 'low' : 'normal',
    }),
};
