import type { Diagnosis } from '../artifact/results.ts';
import { probeDevices } from '../runners/devices.ts';
import { VERSION } from '../version.ts';

/** Returns what this machine can run, and why not the rest. */
export async function diagnose(): Promise<Diagnosis> {
  return { schema: 'autoglm.doctor/1', autoglm: VERSION, machine: await probeDevices() };
}
