/** Core ML packages of tests: written to a folder and read again. */
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { MilModel } from '../../src/formats/coreml/mil.ts';
import { packageFiles, readPackage } from '../../src/formats/coreml/package.ts';
import { externalFilesOf } from '../../src/storage/external-files.ts';

/** Writes all files of a package into `folder`. */
export async function writePackage(program: MilModel, folder: string): Promise<void> {
  for (const file of packageFiles(program)) {
    await mkdir(dirname(join(folder, file.name)), { recursive: true });
    const handle = await open(join(folder, file.name), 'w');
    for await (const bytes of file.read()) await handle.write(bytes);
    await handle.close();
  }
}

/** Reads a package that lies in `folder`. */
export function readFolder(folder: string): Promise<MilModel> {
  return readPackage(externalFilesOf(join(folder, 'Manifest.json')), folder);
}
