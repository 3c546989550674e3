import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../errors.ts';
import { hashFile } from './hash-file.ts';
import { locateModel } from './locate-model.ts';
import { recognizeMnn } from './mnn-artifact.ts';
import { openModel } from './model-file.ts';

/** What a runtime must know to read an artifact: `onnx`. Any word: a new kind is a line in a list. */
export type ArtifactKind = string;

/** A model as it lies on disk, in whatever format. */
export interface Artifact {
  readonly kind: ArtifactKind;
  /** The folder to which `entry` and `files` are relative. */
  readonly folder: string;
  /** What a runtime is told to open: a file, or a folder where the format is one. */
  readonly entry: string;
  /** Every file that a runtime reads, the entry first where it is a file. */
  readonly files: readonly FileSize[];
}

/** A file of an artifact and its length in bytes. */
export interface FileSize {
  readonly file: string;
  readonly byteLength: number;
}

/** How one kind of artifact is told from the others. */
export interface ArtifactFormat {
  readonly kind: ArtifactKind;
  /**
   * Returns the artifact that a file or folder means when it is of this kind, else undefined. Throws
   * FormatError for one of this kind that is damaged.
   */
  recognize(path: string): Promise<Artifact | undefined>;
}

const ONNX: ArtifactFormat = {
  kind: 'onnx',
  async recognize(path) {
    const isOnnx = (await stat(path)).isDirectory()
      ? await holdsOnnx(path)
      : path.endsWith('.onnx');
    return isOnnx ? onnxArtifact(path) : undefined;
  },
};

/** All kinds of artifacts, in the order in which they are tried. A new one is a line here. */
const ARTIFACT_FORMATS: readonly ArtifactFormat[] = [
  ONNX,
  { kind: 'mnn', recognize: recognizeMnn },
];

/**
 * Returns the artifact that `path` means: a file of a known kind, or a folder with one. A file of no known kind
 * is read as ONNX, whatever its name. Throws UsageError when there is nothing, or nothing of any kind, and
 * FormatError for damaged files.
 */
export async function openArtifact(path: string): Promise<Artifact> {
  if ((await stat(path).catch(() => undefined)) === undefined) {
    throw new UsageError(`${path}: there is no such file or folder. Check the path.`);
  }
  for (const format of ARTIFACT_FORMATS) {
    const artifact = await format.recognize(path);
    if (artifact !== undefined) return artifact;
  }
  return onnxArtifact(path);
}

/** Returns the path of what a runtime is told to open. */
export function entryPath({ folder, entry }: Pick<Artifact, 'folder' | 'entry'>): string {
  return join(folder, entry);
}

/** Returns the files of the given names, relative to a folder, with their sizes. */
export async function weighFiles(
  folder: string,
  names: readonly string[],
): Promise<readonly FileSize[]> {
  return Promise.all(
    names.map(async (file) => ({ file, byteLength: (await stat(join(folder, file))).size })),
  );
}

/** Returns the SHA-256, in hex, over the hashes of all files of an artifact, in their order. */
export async function hashArtifact({
  folder,
  files,
}: Pick<Artifact, 'folder' | 'files'>): Promise<string> {
  const hash = createHash('sha256');
  for (const { file } of files) hash.update(`${await hashFile(join(folder, file))}\n`);
  return hash.digest('hex');
}

async function holdsOnnx(folder: string): Promise<boolean> {
  const names = await readdir(folder);
  return names.some((name) => name.endsWith('.onnx')) || names.includes('onnx');
}

async function onnxArtifact(path: string): Promise<Artifact> {
  const file = await locateModel(path);
  const { storage } = await openModel(file);
  const folder = dirname(file);
  const entry = basename(file);
  return {
    kind: 'onnx',
    folder,
    entry,
    files: await weighFiles(folder, [entry, ...storage.files]),
  };
}
