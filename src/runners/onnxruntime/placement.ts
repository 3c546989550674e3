import type { Feeds } from '../../values/tensor-value.ts';
import type { Device, LoadOptions } from '../runner.ts';
import { profileKernels } from './kernel-profile.ts';
import type { KernelTime } from './session-commands.ts';

/** What one execution provider ran. */
export interface ProviderShare {
  /** As onnxruntime spells it: `CPUExecutionProvider`, `WebGpuExecutionProvider` ... */
  readonly provider: string;
  readonly nodeCount: number;
  readonly milliseconds: number;
  /** Node count of each operator, most first. */
  readonly operators: readonly { readonly opType: string; readonly nodeCount: number }[];
}

/** Where the nodes of a model really ran, by one profiled run. */
export interface Placement {
  /** Most nodes first. */
  readonly providers: readonly ProviderShare[];
  /**
   * Nodes that onnxruntime ran elsewhere than on the requested device, copies left out. Never empty
   * for models whose shape arithmetic stays on the CPU; those nodes are cheap, see their time.
   */
  readonly elsewhere: readonly KernelTime[];
  /** Copies between devices that onnxruntime inserted, per run. */
  readonly copyCount: number;
}

const PROVIDERS: Readonly<Record<Device, readonly string[]>> = {
  cpu: ['CPUExecutionProvider'],
  webgpu: ['WebGpuExecutionProvider'],
  cuda: ['CUDAExecutionProvider'],
  tensorrt: ['TensorrtExecutionProvider'],
};

/**
 * Opens the model with profiling, runs it once and says which execution provider ran each node.
 * Errors are those of `openSessions`.
 */
export async function findPlacement(
  path: string,
  options: LoadOptions,
  feeds: Feeds,
): Promise<Placement> {
  const { kernels } = await profileKernels(path, options, feeds, { runs: 0, milliseconds: 0 });
  return summarizePlacement(kernels, options.device);
}

/** Returns the placement that a list of kernel calls shows. */
export function summarizePlacement(
  kernels: readonly KernelTime[],
  device: LoadOptions['device'],
): Placement {
  const isCopy = ({ opType }: KernelTime): boolean => /^Memcpy(To|From)Host$/.test(opType);
  const compute = kernels.filter((kernel) => !isCopy(kernel));
  const byProvider = groupBy(compute, ({ provider }) => provider);
  const providers = [...byProvider].map(([provider, own]) => ({
    provider,
    nodeCount: own.length,
    milliseconds: own.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
    operators: [...groupBy(own, ({ opType }) => opType)]
      .map(([opType, same]) => ({ opType, nodeCount: same.length }))
      .sort((a, b) => b.nodeCount - a.nodeCount || (a.opType < b.opType ? -1 : 1)),
  }));
  return {
    providers: providers.sort((a, b) => b.nodeCount - a.nodeCount),
    elsewhere: compute.filter(({ provider }) => !(PROVIDERS[device] ?? []).includes(provider)),
    copyCount: kernels.length - compute.length,
  };
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}
