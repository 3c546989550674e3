import { join } from 'node:path';
import { FormatError } from '../errors.ts';
import { exists } from '../storage/replace-folder.ts';
import { MANIFEST_NAME, readManifest } from './manifest.ts';
import { type ModelOnDisk, openModelOnDisk } from './model-on-disk.ts';

/** Pruned from pruned from ...: more is a circle. */
const MAX_STEPS = 16;

/**
 * Returns the model that everything made from `source` is checked against: the export as it came, also where channels
 * were removed on the way. A model without a manifest, or whose manifest removed nothing, is its own origin. Throws
 * FormatError when the export has changed since, or is not there any more.
 */
export async function openOrigin(source: ModelOnDisk): Promise<ModelOnDisk> {
  let at = source;
  for (let step = 0; step < MAX_STEPS; step++) {
    if (!(await exists(join(at.folder, MANIFEST_NAME)))) return at;
    const { pruning, source: from } = await readManifest(at.folder);
    if (pruning === undefined) return at;
    const origin = await openModelOnDisk(from.path);
    if ((await origin.sha256()) !== from.sha256) {
      throw new FormatError(
        `${from.path}: is not the model that ${at.path} was pruned from (its hash differs). Prune again.`,
      );
    }
    at = origin;
  }
  throw new FormatError(`${source.path}: its manifest leads to itself. Prune again.`);
}
