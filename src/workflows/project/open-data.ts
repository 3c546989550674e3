import { dirname, join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { openDataset } from '../../calibrate/dataset.ts';
import type { Dataset } from '../../calibrate/sample.ts';
import { exists } from '../../storage/replace-folder.ts';

/** Which data to use, as options and configs name it. */
export interface DataChoice {
  readonly data: string;
  readonly samples?: number | undefined;
  readonly heldOutSamples?: number | undefined;
  readonly sequenceLength?: number | undefined;
  readonly seed?: number | undefined;
}

/** Opens a data set; tokenizer and preprocessing default to the files beside the model or in its parent. */
export async function openData(choice: DataChoice, source: ModelOnDisk): Promise<Dataset> {
  const { data, samples, heldOutSamples, sequenceLength, seed } = choice;
  const tokenizer = await findBeside(source, 'tokenizer.json');
  const preprocessor = await findBeside(source, 'preprocessor_config.json');
  return openDataset(data, {
    ...(samples !== undefined && { samples }),
    ...(heldOutSamples !== undefined && { heldOutSamples }),
    ...(sequenceLength !== undefined && { sequenceLength }),
    ...(seed !== undefined && { seed }),
    ...(tokenizer !== undefined && { tokenizer }),
    ...(preprocessor !== undefined && { preprocessor }),
  });
}

async function findBeside({ folder }: ModelOnDisk, name: string): Promise<string | undefined> {
  for (const place of [folder, dirname(folder)]) {
    if (await exists(join(place, name))) return join(place, name);
  }
  return undefined;
}
