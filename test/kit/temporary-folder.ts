import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

/** Returns a new empty folder that is removed when the test ends; `parent` may lie on another disk. */
export function temporaryFolder(parent: string = tmpdir()): string {
  const folder = newFolder(parent);
  onTestFinished(() => remove(folder));
  return folder;
}

/** Returns a new empty folder for all tests of a file or a `describe`, removed after the last. */
export function sharedFolder(): string {
  const folder = newFolder(tmpdir());
  afterAll(() => remove(folder));
  return folder;
}

/** Calls `use` with a new empty folder, in hooks too, and removes it when the result is there. */
export async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = newFolder(tmpdir());
  try {
    return await use(folder);
  } finally {
    remove(folder);
  }
}

function newFolder(parent: string): string {
  return mkdtempSync(join(realpathSync(parent), 'autoglm-test-'));
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
