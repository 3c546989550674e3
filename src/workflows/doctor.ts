import { type MachineReport, probeDevices } from '../runners/devices.ts';
import { VERSION } from '../version.ts';

/** What `doctor` prints. */
export interface Diagnosis {
  readonly schema: 'autoglm.doctor/1';
  readonly autoglm: string;
  readonly machine: MachineReport;
}

/** Returns what this machine can run, and why not the rest. */
export async function diagnose(): Promise<Diagnosis> {
  return { schema: 'autoglm.doctor/1', autoglm: VERSION, machine: await probeDevices() };
}
