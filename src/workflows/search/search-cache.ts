import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { SearchFigures } from '../../quantize/search/budget.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';

const cacheSchema = z.strictObject({
  schema: z.literal('autoglm.search-cache/1'),
  evaluations: z.record(
    z.string(),
    z.strictObject({
      positions: z.int().nonnegative(),
      klNats: z.number().nullable(),
      agreement: z.number(),
      perplexityRatio: z.number().nullable(),
      dropPoints: z.number().nullable(),
    }),
  ),
});

/** Evaluations already made, on disk: a search that was killed goes on where it was. */
export interface SearchCache {
  readonly path: string;
  get(key: string): SearchFigures | undefined;
  /** Keeps one evaluation; it is on disk when the promise resolves. */
  put(key: string, figures: SearchFigures): Promise<void>;
}

/**
 * Opens the cache of one search in a folder. `identity` is everything that decides the figures, as
 * JSON; another identity is another file. A damaged file counts as empty.
 */
export async function openSearchCache(folder: string, identity: unknown): Promise<SearchCache> {
  const hash = createHash('sha256').update(JSON.stringify(identity)).digest('hex');
  const path = join(folder, `${hash.slice(0, 32)}.json`);
  const evaluations = new Map(Object.entries(await readEvaluations(path)));
  return {
    path,
    get: (key) => evaluations.get(key),
    async put(key, figures) {
      evaluations.set(key, figures);
      const sorted = [...evaluations].sort(([a], [b]) => (a < b ? -1 : 1));
      const content = {
        schema: 'autoglm.search-cache/1',
        evaluations: Object.fromEntries(sorted),
      };
      await writeFileAtomic(path, `${JSON.stringify(content, undefined, 1)}\n`);
    },
  };
}

/** Returns where evaluations are kept: under an output folder, or the user's cache without one. */
export function searchCacheFolder(output?: string): string {
  if (output !== undefined) return join(output, '.search-cache');
  const home = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(home, 'autoglm', 'search');
}

async function readEvaluations(path: string): Promise<Record<string, SearchFigures>> {
  try {
    const parsed = cacheSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
    return parsed.success ? parsed.data.evaluations : {};
  } catch {
    return {};
  }
}
