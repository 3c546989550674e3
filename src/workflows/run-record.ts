import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { FormatError } from '../errors.ts';
import { hashFile, listFiles, writeFileAtomic } from '../storage/index.ts';

/** File in the output folder that says which stages are finished. */
export const RUN_RECORD_NAME = 'run.json';

const stageSchema = z.strictObject({
  /** Hash of everything that decides the result: version, options, inputs, earlier stages. */
  fingerprint: z.string(),
  files: z.record(z.string(), z.string()),
  seconds: z.number(),
  finishedAt: z.string(),
});

const runRecordSchema = z.strictObject({
  schema: z.literal('autoglm.run/1'),
  version: z.string(),
  stages: z.record(z.string(), stageSchema),
});

/** A finished stage: its fingerprint and the sha256 of each file it left in its folder. */
export type StageRecord = z.infer<typeof stageSchema>;

/** What `run.json` holds. It is the only output with dates in it. */
export type RunRecord = z.infer<typeof runRecordSchema>;

/** Returns the run record of an output folder, or undefined when there is none. */
export async function readRunRecord(output: string): Promise<RunRecord | undefined> {
  const path = join(output, RUN_RECORD_NAME);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return runRecordSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new FormatError(
      `${path}: is not a run record of this version of autoglm. Delete it or use --force.`,
      { cause },
    );
  }
}

/** Writes the run record with a temporary name, sync and rename. */
export async function writeRunRecord(output: string, record: RunRecord): Promise<void> {
  await writeFileAtomic(join(output, RUN_RECORD_NAME), `${JSON.stringify(record, undefined, 2)}\n`);
}

/** Says whether a stage was finished for this fingerprint and its files are still what it wrote. */
export async function isStageCurrent(
  folder: string,
  stage: StageRecord | undefined,
  fingerprint: string,
): Promise<boolean> {
  if (stage === undefined || stage.fingerprint !== fingerprint) return false;
  const present = await hashFolder(folder);
  const names = Object.keys(stage.files);
  return (
    names.length === Object.keys(present).length &&
    names.every((name) => present[name] === stage.files[name])
  );
}

/** Returns the sha256 of every file under a folder, by path relative to it, sorted. */
export async function hashFolder(folder: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of await listFiles(folder)) hashes[name] = await hashFile(join(folder, name));
  return hashes;
}
