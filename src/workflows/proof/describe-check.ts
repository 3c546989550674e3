import { basename } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { CheckResult } from '../../check/check-result.ts';
import { probeDevices } from '../../runners/devices.ts';
import { VERSION } from '../../version.ts';
import { type ArtifactCheck, runnerOf, sourceDevice } from './artifact-check.ts';
import { labelOf } from './model-label.ts';

/** Returns what was compared, where and by whom, `samples` being those that ran. */
export async function describeCheck(
  check: ArtifactCheck,
  samples: number,
): Promise<Pick<CheckResult, 'source' | 'artifact' | 'device' | 'runtime' | 'data'>> {
  const machine = await probeDevices();
  const { source, artifact, device, dataset } = check;
  const state = machine.onnxruntime.devices.find((found) => found.device === device.device);
  const label = labelOf(source.written);
  return {
    source: {
      file: basename(source.path),
      sha256: await source.sha256(),
      label: `${label} source`,
    },
    artifact: {
      file: basename(artifact.entry),
      sha256: await artifact.sha256(),
      label: check.label,
    },
    device: {
      id: device.device,
      requested: check.requestedDevice,
      name: device.device.startsWith('cpu')
        ? machine.cpu.model
        : (machine.nvidiaGpus[0] ?? state?.device ?? device.device),
      reference: referenceOf(check.source, label, sourceDevice(check)),
      notUsed: device.passedOver,
    },
    runtime: {
      autoglm: VERSION,
      node: machine.nodeVersion,
      runner: await runnerOf(artifact).version(),
      platform: machine.platform,
      cpu: machine.cpu.model,
      instructionSets: machine.cpu.instructionSets ?? [],
      saturatesPairs: machine.cpu.saturatesPairs ?? null,
      threads: null,
    },
    data: {
      name: basename(dataset.path),
      sha256: dataset.hash,
      samples,
      representative: true,
    },
  };
}

function referenceOf({ isWidened }: ModelOnDisk, label: string, device: string): string {
  if (isWidened) {
    return `float32 twin of the bfloat16 source on ${device}, for which onnxruntime has no bfloat16 kernels`;
  }
  return device === 'cpu' && label === 'float16'
    ? 'float16 source on cpu (computed in float32 between casts)'
    : `source on ${device}`;
}
