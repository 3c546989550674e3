import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readManifest } from '../../artifact/manifest.ts';
import type { ExportResult } from '../../artifact/results.ts';
import { parseCheckResult } from '../../check/check-result-schema.ts';
import { exists } from '../../storage/replace-folder.ts';
import { CHECK_FILES } from './check-into.ts';

/** Returns the result of an export from the folder it left. Throws FormatError when it is damaged. */
export async function readExport(folder: string, target: string): Promise<ExportResult> {
  const path = join(folder, CHECK_FILES.json);
  const isChecked = await exists(path);
  return {
    schema: 'autoglm.export/1',
    target,
    manifest: await readManifest(folder),
    check: isChecked ? parseCheckResult(await readFile(path, 'utf8'), path) : null,
  };
}
