import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import type { Model } from '../ir/model.ts';
import { writing } from './output-error.ts';
import { makeTemporaryFolder } from './temporary-folder.ts';

/**
 * Makes a folder for a short-lived copy of the model that refers to its weights, and returns its path:
 * in the system's temporary folder or, when the weights lie on another disk, beside them, because hard
 * links do not cross disks and a copy of the weights could fill a temporary folder held in memory.
 * `removeTemporaryFolder` removes it.
 */
export async function makeScratchFolder(model: Model): Promise<string> {
  const weights = [...model.graph.initializers.values()].find(
    ({ source }) => source.slice !== undefined,
  );
  const home = weights?.source.slice === undefined ? undefined : dirname(weights.source.slice.path);
  if (home !== undefined && (await deviceOf(home)) !== (await deviceOf(tmpdir()))) {
    // A folder that may only be read leaves nothing but the copy.
    const beside = await makeTemporaryFolder('.autoglm-', home).catch(() => undefined);
    if (beside !== undefined) return beside;
  }
  return makeTemporaryFolder();
}

async function deviceOf(folder: string): Promise<number> {
  return (await writing(folder, () => stat(folder))).dev;
}
