import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Device } from '../runner.ts';
import { oneSentence } from './onnxruntime-errors.ts';
import { findOnnxruntime } from './onnxruntime-package.ts';
import type { SessionCommands } from './session-commands.ts';
import { startOnnxruntime } from './start-onnxruntime.ts';

/** Best first. */
export const ONNXRUNTIME_DEVICES = ['tensorrt', 'cuda', 'webgpu', 'cpu'] as const;

/** A model of one float32 addition, y = x + x over one element (opset 17): enough to start a device. */
const ADDITION = Buffer.from(
  'CAg6NQoOCgF4CgF4EgF5IgNBZGQSAWdaDwoBeBIKCggIARIECgIIAWIPCgF5EgoKCAgBEgQKAggBQgIQEQ==',
  'base64',
);

const known = new Map<Device, Promise<string | undefined>>();

/**
 * Returns why onnxruntime cannot use a device here, or undefined when it really ran an addition on
 * it. The device is tried once per process, in a child: a broken driver may crash.
 */
export function unavailableReason(device: Device): Promise<string | undefined> {
  let reason = known.get(device);
  if (reason === undefined) {
    reason = findReason(device);
    known.set(device, reason);
  }
  return reason;
}

async function findReason(device: Device): Promise<string | undefined> {
  const found = findOnnxruntime();
  if (typeof found === 'string') return found;
  const { version, libraryFolder } = found;
  const platform = `${process.platform}/${process.arch}`;
  if (device === 'cpu') return undefined;
  if (device === 'webgpu') return tryDevice(device);
  if (platform !== 'linux/x64') {
    return `onnxruntime-node ${version} has the ${device} provider on linux/x64 only (this is ${platform})`;
  }
  const missing = ['shared', device]
    .map((name) => `libonnxruntime_providers_${name}.so`)
    .filter((file) => !existsSync(join(libraryFolder, file)));
  if (missing.length > 0) {
    return `its libraries are not installed (${missing.join(' and ')}): npm did not run the install script of onnxruntime-node. Run "npm rebuild onnxruntime-node --ignore-scripts=false" with internet access`;
  }
  return tryDevice(device);
}

async function tryDevice(device: Device): Promise<string | undefined> {
  const child = startOnnxruntime<SessionCommands>(import.meta.url, 'session-process');
  try {
    const { session } = await child.call('open', { model: ADDITION, options: { device } });
    const feeds = new Map([
      ['x', { dataType: 'float32', dims: [1], data: new Float32Array([2]) } as const],
    ]);
    const result = (await child.call('run', { session, feeds, fetches: undefined })).get('y');
    return result?.data[0] === 4 ? undefined : `2 + 2 gave ${result?.data[0]} on it`;
  } catch (error) {
    return explain(device, error instanceof Error ? error.message : String(error));
  } finally {
    await child.stop();
  }
}

function explain(device: Device, message: string): string {
  const said = oneSentence(message);
  if (device === 'webgpu' && /adapter|vulkan/i.test(said))
    return `no WebGPU adapter: ${CURE_WEBGPU}`;
  if (device === 'webgpu' && /backend not found/.test(said)) {
    return `onnxruntime-node has no WebGPU build for ${process.platform}/${process.arch}`;
  }
  if (device !== 'webgpu') {
    return `the ${device} libraries do not load (${said}). ${CURE_NVIDIA[device as 'cuda']}`;
  }
  return said;
}

const CURE_WEBGPU =
  process.platform === 'linux'
    ? 'install a Vulkan driver (Debian: libvulkan1 and mesa-vulkan-drivers 25 or newer, from backports on bookworm)'
    : 'update the graphics driver';

const CURE_NVIDIA: Readonly<Record<'cuda' | 'tensorrt', string>> = {
  cuda: 'Put CUDA 12 and cuDNN 9 on the loader path',
  tensorrt:
    'Put TensorRT 10 (libnvinfer.so.10, libnvonnxparser.so.10) and CUDA 12 on the loader path',
};

/** Folders in which a Vulkan loader looks for its drivers (Vulkan loader interface, "ICD discovery"). */
const VULKAN_FOLDERS: readonly string[] = [
  '/usr/share/vulkan/icd.d',
  '/usr/local/share/vulkan/icd.d',
  '/etc/vulkan/icd.d',
];

/** A Vulkan driver as its manifest describes it. */
export interface VulkanDriver {
  /** The manifest, or its path in VK_DRIVER_FILES. */
  readonly manifest: string;
  readonly library: string;
  /** True for lavapipe and SwiftShader, which draw on the CPU. */
  readonly software: boolean;
}

/** Returns the Vulkan drivers installed on a Linux machine; nothing elsewhere. */
export function findVulkanDrivers(): readonly VulkanDriver[] {
  if (process.platform !== 'linux') return [];
  const chosen = process.env['VK_DRIVER_FILES'] ?? process.env['VK_ICD_FILENAMES'];
  const manifests =
    chosen !== undefined
      ? chosen.split(':')
      : VULKAN_FOLDERS.filter(existsSync).flatMap((folder) =>
          readdirSync(folder)
            .filter((name) => name.endsWith('.json'))
            .sort()
            .map((name) => join(folder, name)),
        );
  return manifests.flatMap((manifest) => {
    const library = driverLibrary(manifest);
    if (library === undefined) return [];
    return [{ manifest, library, software: /lvp|lavapipe|swiftshader/i.test(library) }];
  });
}

function driverLibrary(manifest: string): string | undefined {
  try {
    const { ICD } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      ICD?: { library_path?: string };
    };
    return ICD?.library_path;
  } catch {
    return undefined;
  }
}

/**
 * Says whether WebGPU here can only mean a Vulkan driver that computes on the CPU: it works, and is
 * far slower than onnxruntime's own CPU kernels.
 */
export function webgpuIsSoftware(): boolean {
  if (process.platform !== 'linux') return false;
  const drivers = findVulkanDrivers();
  const hasHardware =
    existsSync('/dev/dri') || existsSync('/dev/nvidia0') || existsSync('/dev/dxg');
  return drivers.length > 0 && (!hasHardware || drivers.every(({ software }) => software));
}
