import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Files of a model that say how its inputs are made. */
export interface ModelDefaults {
  readonly tokenizer?: string;
  readonly preprocessor?: string;
}

/**
 * Returns the `tokenizer.json` and `preprocessor_config.json` in the model's folder or, as Hugging Face
 * repositories keep the model in `onnx/`, in the folder above.
 */
export function findModelDefaults(modelFile: string): ModelDefaults {
  const folder = dirname(modelFile);
  const find = (name: string): string | undefined =>
    [join(folder, name), join(folder, '..', name)].find((path) => existsSync(path));
  const tokenizer = find('tokenizer.json');
  const preprocessor = find('preprocessor_config.json');
  return {
    ...(tokenizer !== undefined && { tokenizer }),
    ...(preprocessor !== undefined && { preprocessor }),
  };
}
