import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';

/** Left behind only by a killed process; the next one with the same output clears it. */
const PARTIAL_SUFFIX = '.autoglm-partial';

/** How finished files reach the output folder. */
export interface StagingOptions {
  /** Replace what is there; without it an existing file of the same name is a {@link UsageError}. */
  readonly force: boolean;
  /**
   * `replace`: the output folder is exactly what was written, swapped in with one rename.
   * `merge`: each file is renamed into a folder that may hold other files.
   */
  readonly mode: 'replace' | 'merge';
  /** With `merge`: names that will be written, so that a clash is found before the work, not after. */
  readonly expected?: readonly string[];
}

/**
 * Runs `write` with an empty folder beside `output` and moves what it wrote into place when it
 * succeeds. When it fails or the process is killed, `output` holds what it held before.
 * Returns what `write` returned; throws UsageError when files would be overwritten without `force`.
 */
export async function writeThroughStaging<T>(
  output: string,
  options: StagingOptions,
  write: (folder: string) => Promise<T>,
): Promise<T> {
  const partial = join(dirname(output), `.${basename(output)}${PARTIAL_SUFFIX}`);
  if (!options.force) {
    const targets = options.mode === 'replace' ? [''] : (options.expected ?? []);
    await refuseExisting(output, targets);
  }
  await rm(partial, { recursive: true, force: true });
  const made = await mkdir(partial, { recursive: true });
  let isDone = false;
  try {
    const result = await write(partial);
    await (options.mode === 'replace'
      ? swapFolder(partial, output)
      : moveFiles(partial, output, options.force));
    isDone = true;
    return result;
  } finally {
    await rm(partial, { recursive: true, force: true });
    if (!isDone && made !== undefined) await removeEmpty(dirname(output), dirname(made));
  }
}

/** Removes `folder` and its parents below `end`, as long as they are empty: a failed run leaves none. */
async function removeEmpty(folder: string, end: string): Promise<void> {
  for (let at = resolve(folder); at !== resolve(end) && at !== dirname(at); at = dirname(at)) {
    const isGone = await rmdir(at).then(
      () => true,
      () => false,
    );
    if (!isGone) return;
  }
}

async function swapFolder(partial: string, output: string): Promise<void> {
  const old = `${partial}-old`;
  await rm(old, { recursive: true, force: true });
  if (await exists(output)) await rename(output, old);
  await rename(partial, output);
  await rm(old, { recursive: true, force: true });
}

async function moveFiles(partial: string, output: string, force: boolean): Promise<void> {
  await mkdir(output, { recursive: true });
  const names = (await readdir(partial)).sort();
  if (!force) await refuseExisting(output, names);
  // Models last: whoever sees the new .onnx also sees the weights and tables it refers to.
  const isModel = (name: string): boolean => name.endsWith('.onnx');
  for (const name of [...names.filter((n) => !isModel(n)), ...names.filter(isModel)]) {
    await rm(join(output, name), { recursive: true, force: true });
    await rename(join(partial, name), join(output, name));
  }
}

async function refuseExisting(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(folder, name);
    if (await exists(path)) {
      throw new UsageError(`${path}: already exists. Use --force to replace it.`);
    }
  }
}

/** Says whether a file or folder is there. */
export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
