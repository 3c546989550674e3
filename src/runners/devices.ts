import { availableParallelism, cpus, totalmem } from 'node:os';
import { UnavailableError } from '../errors.ts';
import { readInstructionSets } from './instruction-sets.ts';
import {
  findVulkanDrivers,
  ONNXRUNTIME_DEVICES,
  type VulkanDriver,
} from './onnxruntime/onnxruntime-devices.ts';
import { findOnnxruntime } from './onnxruntime/onnxruntime-package.ts';
import { onnxruntimeRunner } from './onnxruntime/onnxruntime-runner.ts';
import { saturatesPairs } from './onnxruntime/saturation-probe.ts';
import type { Device, Runner } from './runner.ts';
import { findProgram, findTrtexec, readOutput, type Trtexec } from './tensorrt/trtexec.ts';

/** Whether onnxruntime can use a device here. */
export interface DeviceState {
  readonly device: Device;
  /** Why not; undefined when a model really ran on it. */
  readonly reason: string | undefined;
  /** True for a GPU interface that computes on the CPU (lavapipe). `auto` passes it over. */
  readonly software: boolean;
}

/** What this machine can run, as plain data. */
export interface MachineReport {
  readonly platform: string;
  readonly nodeVersion: string;
  readonly cpu: {
    readonly model: string;
    readonly cores: number;
    /** Instruction sets that matter for INT8; undefined where the system does not tell. */
    readonly instructionSets: readonly string[] | undefined;
    /** Whether pairs of uint8 x int8 products saturate in 16 bits, by trying; undefined when not known. */
    readonly saturatesPairs: boolean | undefined;
  };
  readonly memoryBytes: number;
  readonly onnxruntime: {
    /** Undefined when it is not installed or has no binary here; every device then says so. */
    readonly version: string | undefined;
    readonly devices: readonly DeviceState[];
  };
  readonly vulkanDrivers: readonly VulkanDriver[];
  /** One line per GPU as nvidia-smi prints it; empty without nvidia-smi or a GPU. */
  readonly nvidiaGpus: readonly string[];
  readonly trtexec: Trtexec | undefined;
}

/** Which device was taken, and why not the ones before it. */
export interface DeviceChoice {
  readonly device: Device;
  readonly passedOver: readonly { readonly device: Device; readonly reason: string }[];
}

/** Returns what this machine can run. Starts and ends a process per device that looks possible. */
export async function probeDevices(): Promise<MachineReport> {
  const [processor] = cpus();
  const runtime = findOnnxruntime();
  return {
    platform: `${process.platform}/${process.arch}`,
    nodeVersion: process.versions.node,
    cpu: {
      model: processor?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      instructionSets: readInstructionSets(),
      saturatesPairs: await saturatesPairs(),
    },
    memoryBytes: totalmem(),
    onnxruntime: {
      version: typeof runtime === 'string' ? undefined : runtime.version,
      devices: await Promise.all([...ONNXRUNTIME_DEVICES].reverse().map(deviceState)),
    },
    vulkanDrivers: findVulkanDrivers(),
    nvidiaGpus: await readNvidiaGpus(),
    trtexec: await findTrtexec(),
  };
}

/**
 * Returns the device of a runner to use. `auto` takes the first of its devices that really works and that it does
 * not pass over (onnxruntime: tensorrt, cuda, webgpu unless a Vulkan driver on the CPU stands in for a GPU,
 * cpu). Throws {@link UnavailableError} with the reason when a device was asked for by name and does not work.
 */
export async function chooseDevice(
  wanted: Device,
  runner: Runner = onnxruntimeRunner,
): Promise<DeviceChoice> {
  if (wanted !== 'auto') {
    const reason = await whyUnusable(runner, wanted);
    if (reason === undefined) return { device: wanted, passedOver: [] };
    throw new UnavailableError(
      `device ${wanted}: not usable on this machine (${reason}). Use --device auto, or see "autoglm doctor".`,
    );
  }
  const passedOver: { device: Device; reason: string }[] = [];
  for (const device of runner.devices) {
    const reason = (await runner.unavailable(device)) ?? runner.whyNotAuto?.(device);
    if (reason === undefined) return { device, passedOver };
    passedOver.push({ device, reason });
  }
  throw new UnavailableError(
    `device auto: none works (${passedOver.map(({ device, reason }) => `${device}: ${reason}`).join('; ')}).`,
  );
}

async function whyUnusable(runner: Runner, device: Device): Promise<string | undefined> {
  if (runner.devices.includes(device)) return runner.unavailable(device);
  return `${runner.id} has ${runner.devices.join(', ')}`;
}

async function deviceState(device: Device): Promise<DeviceState> {
  const reason = await onnxruntimeRunner.unavailable(device);
  return { device, reason, software: onnxruntimeRunner.whyNotAuto?.(device) !== undefined };
}

async function readNvidiaGpus(): Promise<readonly string[]> {
  const path = findProgram('nvidia-smi');
  if (path === undefined) return [];
  const query = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'];
  const text = await readOutput(path, query);
  return /failed|error/i.test(text) ? [] : text.split('\n').filter((line) => line.trim() !== '');
}
