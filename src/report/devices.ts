import type { Diagnosis } from '../artifact/results.ts';
import { formatBytes } from './format.ts';

/** Returns what this machine can run as text, one line each, with the reason where it cannot. */
export function renderDevices({ autoglm, machine, mnn }: Diagnosis): string {
  const { cpu, onnxruntime, nvidiaGpus, trtexec } = machine;
  const sets = cpu.instructionSets?.join(', ') ?? 'unknown';
  return [
    `autoglm      ${autoglm}, Node ${machine.nodeVersion}, ${machine.platform}`,
    `processor    ${cpu.model}, ${cpu.cores} cores`,
    `instructions ${sets}`,
    `int8 pairs   ${describePairs(cpu.saturatesPairs)}`,
    `memory       ${formatBytes(machine.memoryBytes)}`,
    ...describeOnnxruntime(onnxruntime),
    `NVIDIA GPUs  ${nvidiaGpus.length === 0 ? 'none found' : nvidiaGpus.join('; ')}`,
    `MNN          ${'reason' in mnn ? mnn.reason : `${mnn.version} (${mnn.python})`}`,
    `trtexec      ${trtexec === undefined ? 'not found' : `${trtexec.path} (${trtexec.version ?? 'version unknown'})`}`,
  ].join('\n');
}

function describeOnnxruntime({
  version,
  devices,
}: Diagnosis['machine']['onnxruntime']): readonly string[] {
  // One reason for all.
  if (version === undefined) return [`onnxruntime  not usable: ${devices[0]?.reason}`];
  return [
    `onnxruntime  ${version}`,
    ...devices.map(
      ({ device, reason, software }) =>
        `  ${device.padEnd(10)} ${reason ?? `works${software ? ' (software, not used by auto)' : ''}`}`,
    ),
  ];
}

function describePairs(saturates: boolean | undefined): string {
  if (saturates === undefined) return 'not known: the test product did not run';
  return saturates
    ? 'saturate in 16 bits (no VNNI): INT8 files of other tools may give other numbers here, those of autoglm do not'
    : 'are added exactly; INT8 files of other tools may give other numbers on x86 CPUs without VNNI';
}
