import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  parseSearchFile,
  SEARCH_NAME,
  type SearchFile,
} from '../../quantize/search/search-file.ts';
import { exists } from '../../storage/replace-folder.ts';

/** Returns the search in the first of these folders that holds one, undefined when none does. */
export async function searchBeside(...folders: readonly string[]): Promise<SearchFile | undefined> {
  for (const folder of folders) {
    const path = join(folder, SEARCH_NAME);
    if (await exists(path)) return parseSearchFile(await readFile(path, 'utf8'), path);
  }
  return undefined;
}
