import { readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { modelDifference } from '../../formats/onnx/model-difference.ts';
import { runPython } from '../python-venv.ts';

/** What the packages of the suite are pinned to: 1,884 node cases and 149 files. */
export const SUITE_PACKAGES: readonly string[] = ['onnx==1.23.2', 'numpy==2.4.6'];

/** How many models survived, and why the others did not. */
export interface SuiteResult {
  readonly total: number;
  readonly misses: ReadonlyMap<string, string>;
}

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/**
 * Collects the official ONNX backend suite below `folder`, reads and writes each model, and has
 * the onnx package compare the copy with the original.
 */
export async function roundTripSuite(python: string, folder: string): Promise<SuiteResult> {
  const originals = join(folder, 'originals');
  const copies = join(folder, 'copies');
  await mkdir(originals, { recursive: true });
  await runPython(python, [script('collect.py'), originals]);
  const names = readdirSync(originals, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.onnx'))
    .sort();
  const misses = new Map<string, string>();
  for (const name of names) {
    const reason = await roundTrip(join(originals, name), join(copies, name));
    if (reason !== undefined) misses.set(name, reason);
  }
  const differences = await runPython(python, [script('compare.py'), originals, copies]);
  for (const [name, reason] of Object.entries(JSON.parse(differences))) {
    misses.set(name, String(reason));
  }
  return { total: names.length, misses };
}

async function roundTrip(original: string, copy: string): Promise<string | undefined> {
  try {
    const model = await openModel(original);
    await saveModel(model, copy);
    return await modelDifference(model, await openModel(copy));
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll(original, '<path>') : String(error);
  }
}
