import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Reporter } from '../progress.ts';

/**
 * Returns a function that says, once for each weight file, that a short-lived model could not link to it
 * and so copies its weights; the sentence names the cure.
 */
export function warnOfCopies(reporter: Reporter): (path: string) => void {
  const told = new Set<string>();
  return (path) => {
    if (told.has(path)) return;
    told.add(path);
    const megabytes = Math.ceil(statSync(path).size / 1e6);
    reporter.warn(
      `${path}: its weights are copied into a temporary folder (up to ${megabytes} MB), because no link to the file can be ` +
        `made from there, nor anything be written beside it. Allow writing to ${dirname(path)}, or set TMPDIR to a ` +
        'folder on its disk.',
    );
  };
}
