import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../errors.ts';
import { makeFolder } from './atomic-files.ts';
import { writing } from './output-error.ts';
import { keepAtExit, removeAtExit } from './remove-at-exit.ts';

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
  const parents = await writing(output, async () => {
    // A file of that name is refused before the work, not after.
    if (options.mode === 'merge' && existsSync(output)) makeFolder(output);
    await rm(partial, { recursive: true, force: true });
    return makeStaging(partial);
  });
  let isDone = false;
  try {
    const result = await write(partial);
    if (options.mode === 'merge' && !options.force) {
      await refuseExisting(output, readdirSync(partial).sort());
    }
    await writing(output, () =>
      options.mode === 'replace' ? swapFolder(partial, output) : moveFiles(partial, output),
    );
    isDone = true;
    return result;
  } finally {
    await rm(partial, { recursive: true, force: true });
    for (const parent of parents) {
      if (!isDone) await rmdir(parent).catch(() => {});
      keepAtExit(parent);
    }
    keepAtExit(partial);
  }
}

/**
 * Makes the folder and returns those of its parents that were not there before, the innermost first.
 * Until they are taken back, a process that exits removes them all. No signal comes between these steps.
 */
function makeStaging(partial: string): readonly string[] {
  const parents = makeFolder(dirname(partial));
  for (const parent of [...parents].reverse()) removeAtExit(parent, 'if empty');
  removeAtExit(partial);
  mkdirSync(partial);
  return parents;
}

// The last steps are synchronous, so that a signal finds all of the old output or all of the new.

function swapFolder(partial: string, output: string): void {
  const old = `${partial}-old`;
  rmSync(old, { recursive: true, force: true });
  if (existsSync(output)) renameSync(output, old);
  renameSync(partial, output);
  rmSync(old, { recursive: true, force: true });
}

function moveFiles(partial: string, output: string): void {
  makeFolder(output);
  const names = readdirSync(partial).sort();
  // Models last: whoever sees the new .onnx also sees the weights and tables it refers to.
  const isModel = (name: string): boolean => name.endsWith('.onnx');
  for (const name of [...names.filter((n) => !isModel(n)), ...names.filter(isModel)]) {
    rmSync(join(output, name), { recursive: true, force: true });
    renameSync(join(partial, name), join(output, name));
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
