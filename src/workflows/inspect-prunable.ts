import { openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { PrunableOutcome } from '../artifact/results.ts';
import { findPrunable } from '../prune/prunable.ts';
import { resolveRequest } from './project/resolve-request.ts';

/**
 * Returns what of a model, or of the model of the config, can be pruned: groups with what each aligned step saves, and
 * what is declined with node and reason. Reads no weights.
 */
export async function inspectPrunable(options: {
  readonly model?: string | undefined;
  readonly config?: string | undefined;
}): Promise<PrunableOutcome> {
  const request = await resolveRequest(options);
  const source =
    request.kind === 'model' ? request.source : await openModelOnDisk(request.config.model);
  return { schema: 'autoglm.prunable/1', path: source.path, ...findPrunable(source.model) };
}
