import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MANIFEST_NAME, readManifest } from '../../artifact/manifest.ts';
import { PRUNING_NAME, parsePruning } from '../../prune/pruning-file.ts';
import { parseSearchFile, SEARCH_NAME } from '../../quantize/search/search-file.ts';
import type { ArtifactHistory } from '../../report/html.ts';
import { exists } from '../../storage/replace-folder.ts';
import { QUANTIZED_FILES } from '../stages/quantize-model.ts';

/**
 * Returns the pruning and the search in the first of these folders that hold one; of a folder that quantizing
 * wrote, the folder of its source counts as well, because a pruned model that was quantized is both. Other people's
 * `manifest.json` is not read.
 */
export async function historyBeside(...named: readonly string[]): Promise<ArtifactHistory> {
  const folders: string[] = [];
  for (const folder of named) {
    folders.push(folder);
    const ours = [QUANTIZED_FILES.plan, MANIFEST_NAME].map((name) => exists(join(folder, name)));
    if ((await Promise.all(ours)).includes(false)) continue;
    folders.push(dirname((await readManifest(folder)).source.path));
  }
  return {
    pruning: await firstOf(folders, PRUNING_NAME, parsePruning),
    search: await firstOf(folders, SEARCH_NAME, parseSearchFile),
  };
}

async function firstOf<Parsed>(
  folders: readonly string[],
  name: string,
  parse: (text: string, path: string) => Parsed,
): Promise<Parsed | undefined> {
  for (const folder of folders) {
    const path = join(folder, name);
    if (await exists(path)) return parse(await readFile(path, 'utf8'), path);
  }
  return undefined;
}
