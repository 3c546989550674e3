import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, UsageError } from '../errors.ts';
import { parseJson } from '../parse-record.ts';
import { isFile } from './atomic-files.ts';

/**
 * Returns the path of the .onnx file that `path` means: a file itself; in a folder the decoder of
 * `genai_config.json`, `model.onnx`, `onnx/model.onnx`, or the only .onnx file. Throws UsageError
 * when there is none, or several and none of these names.
 */
export async function locateModel(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new UsageError(`${path}: there is no such file or folder. Check the path.`);
  }
  if (!found.isDirectory()) return path;
  const named = [await genaiDecoder(path), 'model.onnx', join('onnx', 'model.onnx')];
  for (const name of named) {
    if (name !== undefined && (await isFile(join(path, name)))) return join(path, name);
  }
  const models = (await readdir(path)).filter((name) => name.endsWith('.onnx')).sort();
  if (models.length === 1) return join(path, models[0]!);
  if (models.length === 0) {
    throw new UsageError(
      `${path}: there is no model in this folder (expected model.onnx or onnx/model.onnx). Give an .onnx file.`,
    );
  }
  throw new UsageError(
    `${path}: several models are in this folder (got ${models.join(', ')}). Give one of the files.`,
  );
}

/** The decoder's file name in an onnxruntime-genai folder. */
async function genaiDecoder(folder: string): Promise<string | undefined> {
  const path = join(folder, 'genai_config.json');
  if (!(await isFile(path))) return undefined;
  const name = decoderFileName(await readFile(path, 'utf8'), path);
  if (name !== undefined && /[/\\]/.test(name)) {
    throw new FormatError(
      `${path}: model.decoder.filename leaves the folder (got ${JSON.stringify(name)}). Give a plain file name.`,
    );
  }
  return name;
}

function decoderFileName(text: string, path: string): string | undefined {
  const cure = 'Correct or remove the file.';
  const config = parseJson(text, { where: path, cure }) as {
    model?: { decoder?: { filename?: unknown } };
  } | null;
  const name = config?.model?.decoder?.filename;
  return typeof name === 'string' ? name : undefined;
}
