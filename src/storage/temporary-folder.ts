import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const living = new Set<string>();
// Ends by process.exit, of an interrupted command above all, skip every `finally`.
process.on('exit', () => {
  for (const folder of living) rmSync(folder, { recursive: true, force: true });
});

/**
 * Makes an empty folder under `home` (by default the system's temporary folder, `TMPDIR`) and returns
 * its path. It goes with {@link removeTemporaryFolder}, or else when the process exits.
 */
export async function makeTemporaryFolder(
  prefix = 'autoglm-',
  home: string = tmpdir(),
): Promise<string> {
  const folder = await mkdtemp(join(home, prefix));
  living.add(folder);
  return folder;
}

/** Removes a folder of {@link makeTemporaryFolder} with everything in it. */
export async function removeTemporaryFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  living.delete(folder);
}
