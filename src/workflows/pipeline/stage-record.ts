import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { hashFile } from '../../storage/hash-file.ts';
import { listFiles } from '../../storage/list-files.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';

/**
 * File in a stage's folder that says what the stage was made from and what it wrote. It moves into
 * place with the folder, so a folder and its record can never disagree after a kill.
 */
const RECORD_NAME = '.stage.json';

const recordSchema = z.strictObject({
  schema: z.literal('autoglm.stage/1'),
  /** Hash of everything that decides the result: version, options, inputs, earlier stages. */
  fingerprint: z.string(),
  /** SHA-256 by path relative to the folder. */
  files: z.record(z.string(), z.string()),
});

/** A finished stage: its fingerprint and the hash of each file it left. */
export type StageRecord = z.infer<typeof recordSchema>;

/** Hashes what a stage wrote into `folder` and leaves the record there. */
export async function writeStageRecord(folder: string, fingerprint: string): Promise<StageRecord> {
  const record: StageRecord = {
    schema: 'autoglm.stage/1',
    fingerprint,
    files: await hashFolder(folder),
  };
  await writeFileAtomic(join(folder, RECORD_NAME), `${JSON.stringify(record, undefined, 2)}\n`);
  return record;
}

/**
 * Returns the record of a stage's folder when every file in it is as the stage left it, undefined
 * when there is no folder or no record, or a file was added, changed or removed since.
 */
export async function readIntactStage(folder: string): Promise<StageRecord | undefined> {
  const text = await readFile(join(folder, RECORD_NAME), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = recordSchema.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const present = await hashFolder(folder);
  const names = Object.keys(parsed.data.files);
  const isIntact =
    names.length === Object.keys(present).length &&
    names.every((name) => present[name] === parsed.data.files[name]);
  return isIntact ? parsed.data : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function hashFolder(folder: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of await listFiles(folder)) {
    if (name !== RECORD_NAME) hashes[name] = await hashFile(join(folder, name));
  }
  return hashes;
}
