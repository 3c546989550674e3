import { chmod } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { stageFolder } from '../../storage/atomic-files.ts';
import { openModel, saveModel } from '../../storage/model-file.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import type { ArtifactFile } from '../../targets/target.ts';

/** Writes the files of an artifact into a folder. Returns their names, external data among them. */
export async function saveArtifact(
  folder: string,
  files: readonly ArtifactFile[],
): Promise<readonly string[]> {
  const names: string[] = [];
  for (const file of files) {
    names.push(file.name);
    if ('model' in file) names.push(...(await saveOnnx(folder, file)));
    else if ('read' in file) await saveStream(folder, file);
    else {
      await writeFileAtomic(join(folder, file.name), file.content);
      if (file.isExecutable === true) await chmod(join(folder, file.name), 0o755);
    }
  }
  return names;
}

async function saveOnnx(
  folder: string,
  { name, model, dataFileName }: Extract<ArtifactFile, { model: unknown }>,
): Promise<readonly string[]> {
  const path = join(folder, name);
  await saveModel(model, path, { dataFileName: dataFileName ?? `${basename(name)}.data` });
  const { storage } = await openModel(path);
  const beside = name.slice(0, name.length - basename(name).length);
  return storage.files.map((file) => `${beside}${file}`);
}

async function saveStream(
  folder: string,
  { name, read }: Extract<ArtifactFile, { read: unknown }>,
): Promise<void> {
  const path = join(folder, name);
  const staged = await stageFolder(dirname(path));
  try {
    const file = await staged.create(basename(name));
    for await (const bytes of read()) await file.append(bytes);
    await staged.commit();
  } catch (error) {
    await staged.abort();
    throw error;
  }
}
