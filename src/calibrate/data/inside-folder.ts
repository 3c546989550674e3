import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { UsageError } from '../../errors.ts';

/**
 * Returns the real path of `name`, which must exist inside `folder` after symbolic links are followed.
 * Throws {@link UsageError} naming `where` otherwise.
 */
export async function resolveInside(folder: string, name: string, where: string): Promise<string> {
  const root = await realpath(folder);
  let path: string;
  try {
    path = await realpath(resolve(root, name));
  } catch {
    throw new UsageError(`${where}: ${name} does not exist. Paths are relative to the data set.`);
  }
  const inner = relative(root, path);
  if (inner === '..' || inner.startsWith(`..${sep}`) || isAbsolute(inner)) {
    throw new UsageError(
      `${where}: ${name} lies outside the data set's folder. Move it inside: a data set carries its data.`,
    );
  }
  return path;
}
