import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writing } from './output-error.ts';
import { keepAtExit, removeAtExit } from './remove-at-exit.ts';

/**
 * Makes an empty folder under `home` (by default the system's temporary folder, `TMPDIR`) and returns
 * its path. It goes with {@link removeTemporaryFolder}, or else when the process exits.
 */
export async function makeTemporaryFolder(
  prefix = 'autoglm-',
  home: string = tmpdir(),
): Promise<string> {
  return writing(home, () => {
    // Made and registered in one turn: no signal comes between.
    const folder = mkdtempSync(join(home, prefix));
    removeAtExit(folder);
    return folder;
  });
}

/** Removes a folder of {@link makeTemporaryFolder} with everything in it. */
export async function removeTemporaryFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  keepAtExit(folder);
}
