import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../errors.ts';
import type { OutputFolder } from '../formats/bytes.ts';
import { readOnnxModel } from '../formats/onnx/read.ts';
import { type WriteOptions, writeOnnxModel } from '../formats/onnx/write.ts';
import type { Model, WeightStorage } from '../ir/model.ts';
import { isFile, stageFolder } from './atomic-files.ts';
import { externalFilesOf } from './external-files.ts';
import { fileSource } from './file-source.ts';
import { locateModel } from './locate-model.ts';

/** How {@link openModel} finds what belongs to a model. */
export interface OpenOptions {
  /** Another model beside whose file the external data lies, for a graph that was written elsewhere. */
  readonly dataOf?: string;
}

/**
 * Returns the model at `path`, an .onnx file or a folder that holds one (see `locateModel`).
 * Weights are read only when somebody asks for them; the files must stay as they are until then.
 * Throws FormatError for damaged models, UsageError for a path that leads nowhere.
 */
export async function openModel(path: string, options: OpenOptions = {}): Promise<Model> {
  const file = await locateModel(path);
  if (!(await isFile(file))) {
    throw new UsageError(`${file}: this is not a regular file. Give an .onnx file or its folder.`);
  }
  return readOnnxModel(
    fileSource(realpathSync(file)),
    externalFilesOf(options.dataOf ?? file),
    file,
  );
}

/** How {@link saveModel} lays out the files. */
export interface SaveOptions extends Pick<WriteOptions, 'externalData' | 'referenceWeights'> {
  /** Name of the data file; by default it follows the input's convention. */
  readonly dataFileName?: string;
  /** Called as bytes are written, with the total so far. */
  readonly onBytes?: (written: number) => void;
  /** With `referenceWeights`: called with each weight file that cannot be linked and is copied. */
  readonly onCopy?: ((path: string) => void) | undefined;
}

/**
 * Writes the model to `path` and, where needed, its data file beside it; makes the folder.
 * Existing files of these names are replaced, also when the model itself was read from them: all is
 * written under temporary names, synced, then renamed. Returns the paths of the files, the model
 * last. On failure nothing of the output is left behind.
 */
export async function saveModel(
  model: Model,
  path: string,
  options: SaveOptions = {},
): Promise<readonly string[]> {
  const folder = dirname(path);
  const modelFile = basename(path);
  const dataFile =
    options.dataFileName ?? chooseDataFile(model.storage, folder, modelFile, options);
  if (basename(dataFile) !== dataFile || dataFile === modelFile) {
    throw new UsageError(
      `${dataFile}: the data file needs a plain name of its own (got the model's, or a path). Choose another.`,
    );
  }
  const output = await stageFolder(folder);
  try {
    await writeOnnxModel(model, observed(output, options), {
      ...options,
      modelFile,
      dataFile,
    });
    return await output.commit();
  } catch (error) {
    await output.abort();
    throw error;
  }
}

function observed(output: OutputFolder, { onBytes, onCopy }: SaveOptions): OutputFolder {
  let written = 0;
  return {
    async link(path, name) {
      const isLinked = await output.link(path, name);
      if (!isLinked) onCopy?.(path);
      return isLinked;
    },
    async create(name) {
      const file = await output.create(name);
      return {
        async append(bytes) {
          await file.append(bytes);
          written += bytes.length;
          onBytes?.(written);
        },
      };
    },
  };
}

/** How exporters end the name of a data file that holds the weights of a whole model. */
const CONVENTIONS: readonly string[] = ['.onnx_data', '.onnx.data'];

/**
 * The input's convention under the model's name (`model.onnx_data` becomes `small.onnx_data`), or the
 * input's own name (`weights.bin`) when one file holds all and no other model's file is in the way; else
 * `<model>.data`, as torch and onnxruntime-genai write it. Where every weight has a file of its own,
 * named like the weight, that is no convention for one file.
 */
function chooseDataFile(
  storage: WeightStorage,
  folder: string,
  modelFile: string,
  { referenceWeights = false }: SaveOptions,
): string {
  // Beside the names of links, and short-lived: nobody looks for the input's name.
  if (referenceWeights) return `${modelFile}.data`;
  const [first, ...others] = storage.files;
  if (first === undefined || first.includes('/') || first.includes('\\'))
    return `${modelFile}.data`;
  const stem = stemOf(modelFile);
  const inputStem = stemOf(storage.modelFile ?? '');
  if (others.length === 0 && inputStem !== '' && first.startsWith(`${inputStem}.`)) {
    return `${stem}${first.slice(inputStem.length)}`;
  }
  for (const suffix of CONVENTIONS) {
    if (storage.files.some((name) => name.endsWith(suffix))) return `${stem}${suffix}`;
  }
  const isFree = modelFile === storage.modelFile || !existsSync(join(folder, first));
  return others.length === 0 && isFree ? first : `${modelFile}.data`;
}

function stemOf(fileName: string): string {
  return fileName.endsWith('.onnx') ? fileName.slice(0, -'.onnx'.length) : fileName;
}
