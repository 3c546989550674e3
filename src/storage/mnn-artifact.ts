import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readMnn } from '../formats/mnn/read.ts';
import { weightFileOf } from '../formats/mnn/write.ts';
import type { Artifact } from './artifact.ts';
import { fileSource } from './file-source.ts';

const SUFFIX = '.mnn';

/**
 * Returns the artifact that a `.mnn` file means, or a folder with a single one, with the file of weights beside it; undefined
 * for anything else. Throws FormatError when the graph or its weights are damaged.
 */
export async function recognizeMnn(path: string): Promise<Artifact | undefined> {
  const file = await locate(path);
  if (file === undefined) return undefined;
  const folder = dirname(file);
  const entry = basename(file);
  const beside = weightFileOf(entry);
  const hasWeights = (await readdir(folder)).includes(beside);
  const weights = hasWeights ? fileSource(join(folder, beside)) : undefined;
  readMnn(fileSource(file), weights);
  const names = hasWeights ? [entry, beside] : [entry];
  const files = await Promise.all(
    names.map(async (name) => ({ file: name, byteLength: (await stat(join(folder, name))).size })),
  );
  return { kind: 'mnn', folder, entry, files };
}

async function locate(path: string): Promise<string | undefined> {
  if (!(await stat(path)).isDirectory()) return path.endsWith(SUFFIX) ? path : undefined;
  const [name, second] = (await readdir(path)).filter((entry) => entry.endsWith(SUFFIX));
  return name === undefined || second !== undefined ? undefined : join(path, name);
}
