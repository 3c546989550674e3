import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { type FileHandle, open, readdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { OutputFile, OutputFolder } from '../formats/bytes.ts';
import { closeFile } from './file-source.ts';
import { writing } from './output-error.ts';
import { keepAtExit, removeAtExit } from './remove-at-exit.ts';

/**
 * Files that are written under temporary names and appear together, in the order of their
 * creation.
 */
export interface StagedFolder extends OutputFolder {
  /** Syncs all files and gives them their names. Returns their paths, in that order. */
  commit(): Promise<readonly string[]>;
  /** Removes what was written; the folder is as before. */
  abort(): Promise<void>;
}

interface StagedFile {
  readonly name: string;
  readonly temporary: string;
  readonly handle: FileHandle | undefined;
}

/**
 * Returns a folder to write into; it is made when it does not exist. Temporary files that a
 * killed run left behind under the names that are written now are removed.
 */
export async function stageFolder(folder: string): Promise<StagedFolder> {
  // Not in the background, where it could bring back a folder that an exit has just removed.
  await writing(folder, () => makeFolder(folder));
  const staged: StagedFile[] = [];
  const stage = async (name: string): Promise<string> => {
    await removeLeftovers(folder, name);
    const temporary = join(folder, temporaryName(name, process.pid));
    removeAtExit(temporary);
    return temporary;
  };
  return {
    create: (name) =>
      writing(join(folder, name), async () => {
        const temporary = await stage(name);
        // Never through a name that is taken: it may be a link to somebody's weights. Made in one turn
        // with its name's registration: no exit comes between.
        closeSync(openSync(temporary, 'wx'));
        const handle = await open(temporary, 'r+');
        staged.push({ name, temporary, handle });
        return appender(handle, join(folder, name));
      }),
    async link(path, name) {
      const temporary = await stage(name);
      try {
        linkSync(path, temporary);
      } catch {
        return false;
      }
      staged.push({ name, temporary, handle: undefined });
      return true;
    },
    async commit() {
      for (const { name, handle } of staged) {
        await writing(join(folder, name), async () => {
          await handle?.sync();
          await handle?.close();
        });
      }
      await writing(join(folder, staged.at(-1)?.name ?? ''), () => publish(folder, staged));
      await syncFolder(folder);
      return staged.map(({ name }) => join(folder, name));
    },
    async abort() {
      for (const { handle, temporary } of staged) {
        await handle?.close().catch(() => {});
        await unlink(temporary).catch(() => {});
        keepAtExit(temporary);
      }
    },
  };
}

function appender(handle: FileHandle, path: string): OutputFile {
  return {
    append: (bytes) =>
      writing(path, async () => {
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.length - done);
          done += bytesWritten;
        }
      }),
  };
}

/**
 * Makes a folder and its parents; returns those that were not there before, the innermost first. One by
 * one, because Node's recursive mkdir never ends where the system makes no folder, such as under /proc.
 */
export function makeFolder(folder: string): readonly string[] {
  const missing: string[] = [];
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.push(at);
  if (missing.length === 0) makeOne(folder);
  for (const path of [...missing].reverse()) makeOne(path);
  return missing;
}

/**
 * The last file names the others (a model its data). While several files replace old ones, it
 * must not be there: a killed run then leaves no model rather than an old one over new data.
 * Synchronous, so that an interrupted run finds all the old names or all the new ones.
 */
function publish(folder: string, staged: readonly StagedFile[]): void {
  const last = staged.at(-1);
  const replacesOthers = staged.slice(0, -1).some(({ name }) => existsSync(join(folder, name)));
  if (last !== undefined && replacesOthers) {
    closeFile(resolve(folder, last.name));
    rmSync(join(folder, last.name), { force: true });
  }
  for (const { name, temporary } of staged) {
    closeFile(resolve(folder, name));
    renameSync(temporary, join(folder, name));
    // rename(2) does nothing when both names are links to one file, and leaves the temporary name.
    rmSync(temporary, { force: true });
    keepAtExit(temporary);
  }
}

function makeOne(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    // It is there: of old, or another process has just made it.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Makes the renames durable. Windows cannot open folders and does not need it. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function temporaryName(name: string, processId: number): string {
  return `.${name}.${processId}.autoglm`;
}

async function removeLeftovers(folder: string, name: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    const processId = Number(/\.(\d+)\.autoglm$/.exec(entry)?.[1]);
    if (entry !== temporaryName(name, processId) || isAlive(processId)) continue;
    await unlink(join(folder, entry)).catch(() => {});
  }
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Returns whether there is a regular file at `path`. */
export async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ?? false;
}
