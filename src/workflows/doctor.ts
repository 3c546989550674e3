import type { Diagnosis } from '../artifact/results.ts';
import { probeDevices } from '../runners/devices.ts';
import { findMnn } from '../runners/mnn/find-mnn.ts';
import { VERSION } from '../version.ts';

/** Returns what this machine can run, and why not the rest. */
export async function diagnose(): Promise<Diagnosis> {
  const mnn = await findMnn();
  return {
    schema: 'autoglm.doctor/1',
    autoglm: VERSION,
    machine: await probeDevices(),
    mnn: typeof mnn === 'string' ? { reason: mnn } : mnn,
  };
}
