import { basename, dirname } from 'node:path';
import { stageFolder } from './atomic-files.ts';

/**
 * Writes a whole file (text as UTF-8), making its folder where needed: temporary name, sync,
 * rename. A killed run leaves the old file or none, never a part of one.
 */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  const folder = await stageFolder(dirname(path));
  try {
    const file = await folder.create(basename(path));
    await file.append(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    await folder.commit();
  } catch (error) {
    await folder.abort();
    throw error;
  }
}
