import { rmdirSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';

type Removal = 'whole' | 'if empty';

const leftovers = new Map<string, Removal>();

// Ends by process.exit, of an interrupted command above all, skip every `finally`.
process.on('exit', () => {
  // Newest first: what lies in a folder goes before the folder.
  for (const [path, removal] of [...leftovers].reverse()) {
    try {
      if (removal === 'if empty') rmdirSync(path);
      // A child process that was killed a moment ago may still end its last write.
      else rmSync(path, { recursive: true, force: true, maxRetries: 5 });
    } catch {
      // Not ours any more, or not removable: the other paths count.
    }
  }
});

/**
 * Has a file or folder removed when the process exits before {@link keepAtExit} was called for it:
 * with all it holds, or only `if empty`. To be called before the path is made.
 */
export function removeAtExit(path: string, removal: Removal = 'whole'): void {
  leftovers.set(resolve(path), removal);
}

/** Takes back {@link removeAtExit}: the path is finished, or already removed. */
export function keepAtExit(path: string): void {
  leftovers.delete(resolve(path));
}
