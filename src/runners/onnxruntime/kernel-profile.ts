import { makeTemporaryFolder, removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import type { Feeds } from '../../values/tensor-value.ts';
import type { LoadOptions } from '../runner.ts';
import { loadError, withModelName } from './onnxruntime-errors.ts';
import type { KernelTime, SessionCommands } from './session-commands.ts';
import { startOnnxruntime } from './start-onnxruntime.ts';

/** Kernel calls of some runs of a model, as onnxruntime's profiler saw them. */
export interface KernelProfile {
  readonly runs: number;
  readonly kernels: readonly KernelTime[];
}

/** How much {@link profileKernels} runs. */
export interface ProfileLimits {
  /** Runs after the first at most; 0 keeps the first, with its lazy allocations. */
  readonly runs: number;
  /** Milliseconds after which no further run is begun. */
  readonly milliseconds: number;
}

/**
 * Opens the model with profiling in a process of its own, runs it once to warm up and then again within
 * the limits, and returns the kernel calls of those runs. The profile is written into a temporary folder
 * and removed. Errors are those of `openSessions`.
 */
export async function profileKernels(
  path: string,
  options: LoadOptions,
  feeds: Feeds,
  limits: ProfileLimits,
): Promise<KernelProfile> {
  const folder = await makeTemporaryFolder('autoglm-profile-');
  const child = startOnnxruntime<SessionCommands>(import.meta.url, 'session-process');
  try {
    const { session } = await child
      .call('open', { model: path, options, profileFolder: folder })
      .catch((error: unknown) => {
        throw loadError(path, options, error);
      });
    return await withModelName(path, async () => {
      const [first = 0] = await child.call('time', { session, feeds, count: 1 });
      const affordable = Math.max(1, Math.floor(limits.milliseconds / first));
      const count = Math.min(limits.runs, affordable);
      if (count > 0) await child.call('time', { session, feeds, count });
      const kernels = await child.call('profile', { session, folder });
      return count === 0
        ? { runs: 1, kernels }
        : { runs: count, kernels: withoutFirstRun(kernels, count + 1) };
    });
  } finally {
    await child.stop();
    await removeTemporaryFolder(folder);
  }
}

/**
 * Returns the calls of all runs but the first. Calls come in the order of time, and a node is called
 * equally often in every run over the same feeds.
 */
export function withoutFirstRun(
  kernels: readonly KernelTime[],
  runs: number,
): readonly KernelTime[] {
  const calls = new Map<string, number>();
  for (const { node } of kernels) calls.set(node, (calls.get(node) ?? 0) + 1);
  const seen = new Map<string, number>();
  return kernels.filter(({ node }) => {
    const before = seen.get(node) ?? 0;
    seen.set(node, before + 1);
    return before >= calls.get(node)! / runs;
  });
}
