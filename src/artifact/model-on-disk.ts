import { copyFile, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Model } from '../ir/model.ts';
import { prepareModel } from '../passes/prepare-model.ts';
import { type Artifact, hashArtifact, weighFiles } from '../storage/artifact.ts';
import { locateModel } from '../storage/locate-model.ts';
import { openModel } from '../storage/model-file.ts';

/** An ONNX model on disk: the artifact, its graph, and a hash of all its files. */
export interface ModelOnDisk extends Artifact {
  readonly kind: 'onnx';
  /** Path of the .onnx file. */
  readonly path: string;
  /** The model as `prepareModel` made it: this is what is calibrated, planned and quantized. */
  readonly model: Model;
  /** The model as it stands in the file. */
  readonly written: Model;
  /** True when the file computes in bfloat16: onnxruntime runs `model`, not the file. */
  readonly isWidened: boolean;
  /** What preparing did that an artifact shows, for people. */
  readonly notes: readonly string[];
  /** SHA-256 over the hashes of all files. */
  sha256(): Promise<string>;
}

/**
 * Opens the model that `path` (a file or folder) means. Reads no weights until the hash is asked for. Throws
 * what `openModel` and `prepareModel` throw.
 */
export async function openModelOnDisk(path: string): Promise<ModelOnDisk> {
  const file = await locateModel(path);
  const written = await openModel(file);
  const folder = dirname(file);
  const entry = basename(file);
  const files = await weighFiles(folder, [entry, ...written.storage.files]);
  let hash: Promise<string> | undefined;
  return {
    kind: 'onnx',
    folder,
    entry,
    files,
    path: file,
    ...prepareModel(written, file),
    written,
    sha256: () => {
      hash ??= hashArtifact({ folder, files });
      return hash;
    },
  };
}

/** What a runtime reads beside the graph: tokenizer, configuration, preprocessing, chat template. */
const COMPANION =
  /^(.*config\.json|tokenizer.*|special_tokens_map\.json|vocab.*|merges\.txt|chat_template\..*|tokens\.txt)$/;

/**
 * Copies tokenizer, configuration and preprocessor files from the folder of a model (and its parent,
 * for Hugging Face's `onnx/` layout) into `folder`. Returns their names, sorted. Files that are
 * there already stay.
 */
export async function copyCompanions(
  source: ModelOnDisk,
  folder: string,
): Promise<readonly string[]> {
  const from =
    basename(source.folder) === 'onnx' ? [source.folder, dirname(source.folder)] : [source.folder];
  const copied = new Set<string>();
  for (const place of from) {
    for (const entry of await readdir(place, { withFileTypes: true })) {
      if (!entry.isFile() || !COMPANION.test(entry.name) || copied.has(entry.name)) continue;
      await copyFile(join(place, entry.name), join(folder, entry.name));
      copied.add(entry.name);
    }
  }
  return [...copied].sort();
}
