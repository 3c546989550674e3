import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, isAbsolute, join, relative, resolve, sep } from 'node:path';
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

/** Returns what {@link resolveInside} does. Throws {@link UsageError} naming `where` for a folder too. */
export async function resolveFile(folder: string, name: string, where: string): Promise<string> {
  const path = await resolveInside(folder, name, where);
  if (!(await stat(path)).isDirectory()) return path;
  throw new UsageError(`${where}: ${name} is a folder (expected a file). Name the file in it.`);
}

/**
 * Returns the real paths of the files that `name` stands for: itself, or for a folder the files in it and in
 * its subfolders whose names end in one of `extensions`, in the order of their names. Throws
 * {@link UsageError} naming `where` when one lies outside `folder`.
 */
export async function resolveFiles(
  folder: string,
  name: string,
  where: string,
  extensions: readonly string[],
): Promise<readonly string[]> {
  const path = await resolveInside(folder, name, where);
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path, { recursive: true }))
    .filter((inner) => extensions.includes(extname(inner).toLowerCase()))
    .sort();
  return Promise.all(names.map((inner) => resolveInside(folder, join(path, inner), where)));
}

/**
 * Returns what {@link resolveFiles} does of several names. Throws {@link UsageError} naming `where` when they hold no data.
 */
export async function filesInside(
  folder: string,
  where: string,
  names: readonly string[],
  extensions: readonly string[],
): Promise<readonly string[]> {
  const lists = names.map((name) => resolveFiles(folder, name, where, extensions));
  const paths = (await Promise.all(lists)).flat();
  if (paths.length > 0 || names.length === 0) return paths;
  throw new UsageError(
    `${where}: no data in ${names.join(', ')} (expected ${extensions.join(' ')}).`,
  );
}
