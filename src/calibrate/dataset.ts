import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { UsageError } from '../errors.ts';
import { hashFile } from '../storage/hash-file.ts';
import { chooseSamples, splitBare } from './data/choose-samples.ts';
import {
  type DatasetDescription,
  type ImagesDescription,
  parseDataset,
} from './data/dataset-schema.ts';
import { findTokenizer } from './data/find-tokenizer.ts';
import { type Found, named } from './data/found-data.ts';
import { listImages, openImageData, withLabels } from './data/image-data.ts';
import { planPreprocessing } from './data/image-preprocessing.ts';
import { filesInside, resolveFile } from './data/inside-folder.ts';
import { openTensorData } from './data/tensor-data.ts';
import { listInputFiles, listTestDataSets, openTestDataSets } from './data/test-data-sets.ts';
import { openTextData } from './data/text-data.ts';
import { textSet } from './data/text-set.ts';
import type { Dataset, DatasetOptions, SampleList, Split } from './sample.ts';

export type { Dataset, DatasetOptions, Sample, Split } from './sample.ts';

/**
 * Opens a calibration set: a folder with `dataset.yaml`, a folder of `test_data_set_N` (ONNX test
 * layout), or bare data (`.txt`, `.jsonl`, `.npz`, `.npy`, a folder of images), of which every fifth
 * sample is held out. Throws UsageError for a description, FormatError for a file that is wrong.
 */
export async function openDataset(path: string, options: DatasetOptions = {}): Promise<Dataset> {
  const found = await findData(path, options);
  const lists = new Map<Split, Promise<SampleList>>();
  const listOf = (split: Split): Promise<SampleList> => {
    const known = lists.get(split) ?? found.list(split);
    lists.set(split, known);
    return known;
  };
  const wanted = {
    calibration: options.samples ?? found.samples,
    heldOut: options.heldOutSamples,
  };
  const chosen = async (split: Split): Promise<readonly number[]> =>
    chooseAmong(await listOf(split), wanted[split], options.seed);
  return {
    kind: found.kind,
    domains: found.domains ?? [],
    path,
    hasLabels: found.hasLabels,
    hash: await hashOf(found, { samples: wanted.calibration, seed: options.seed }),
    count: async (split) => (await chosen(split)).length,
    async *samples(split) {
      let index = 0;
      const list = await listOf(split);
      for await (const sample of list.read(await chosen(split)))
        yield { index: index++, ...sample };
    },
  };
}

function chooseAmong(
  list: SampleList,
  wanted: number | undefined,
  seed: number | undefined,
): readonly number[] {
  return list.choose?.(wanted, seed) ?? chooseSamples(list.count, wanted, seed);
}

/** What is data in a folder that `files` or `heldOut` name; a file that they name is taken as it is. */
const TENSOR_EXTENSIONS = ['.npz', '.npy'] as const;

async function findData(path: string, options: DatasetOptions): Promise<Found> {
  if (!existsSync(path)) {
    throw new UsageError(
      `${path}: no such calibration set. Give a folder with dataset.yaml, or data.`,
    );
  }
  if (!(await stat(path)).isDirectory()) {
    if (basename(path) === 'dataset.yaml') return findData(dirname(path), options);
    return bareFile(path, options);
  }
  const description = join(path, 'dataset.yaml');
  if (existsSync(description)) {
    const parsed = parseDataset(await readFile(description, 'utf8'), description);
    return described(await realpath(path), description, parsed, options);
  }
  const sets = await listTestDataSets(path);
  if (sets.length > 0) return testDataSets(path, sets);
  return bareImages(path, options);
}

async function described(
  folder: string,
  where: string,
  description: DatasetDescription,
  options: DatasetOptions,
): Promise<Found> {
  if (description.kind === 'images') return imageSet(folder, where, description, options);
  if (description.kind === 'text') return textSet(folder, where, description, options);
  const splits = {
    calibration: await filesInside(folder, where, description.files, TENSOR_EXTENSIONS),
    heldOut: await filesInside(folder, where, description.heldOut, TENSOR_EXTENSIONS),
  };
  const files = [...splits.calibration, ...splits.heldOut];
  return {
    kind: 'tensors',
    hasLabels: description.labels !== undefined,
    samples: description.samples,
    settings: description,
    files: files.map((file) => named(folder, file)),
    list: (split) => openTensorData(splits[split], description.labels),
  };
}

async function imageSet(
  folder: string,
  where: string,
  description: ImagesDescription,
  options: DatasetOptions,
): Promise<Found> {
  const preprocessing = await planPreprocessing(description, options.preprocessor);
  const splits = {
    calibration: await listImages(folder, description.files, where),
    heldOut: await listImages(folder, description.heldOut, where),
  };
  const images = [...splits.calibration, ...splits.heldOut];
  const files = images.map(({ path }) => named(folder, path));
  let labels: string | undefined;
  if (description.labels !== undefined) {
    labels = await resolveFile(folder, description.labels, where);
    files.push(named(folder, labels));
  }
  return {
    kind: 'images',
    hasLabels: labels !== undefined || splits.heldOut.some(({ label }) => label !== undefined),
    samples: description.samples,
    settings: { ...description, preprocessing },
    files,
    list: async (split) => {
      const own = splits[split];
      if (labels === undefined) return openImageData(own, preprocessing);
      const labelled = await withLabels(own, { folder, labels, inOrder: split === 'heldOut' });
      return openImageData(labelled, preprocessing);
    },
  };
}

async function bareFile(path: string, options: DatasetOptions): Promise<Found> {
  const extension = extname(path);
  const bare = { hasLabels: false, samples: undefined, files: [{ name: basename(path), path }] };
  if (extension === '.npz' || extension === '.npy') {
    const list = once(() => openTensorData([path], undefined));
    return { ...bare, kind: 'tensors', settings: 'bare tensors', list: bareSplit(list) };
  }
  if (extension === '.txt' || extension === '.jsonl') {
    const sequenceLength = options.sequenceLength ?? 256;
    const { encoding, files } = await findTokenizer(dirname(path), path, {}, options);
    const list = once(() => openTextData([path], { encoding, sequenceLength }));
    return {
      ...bare,
      kind: 'text',
      settings: { sequenceLength },
      files: [...bare.files, ...files],
      list: bareSplit(list),
    };
  }
  throw new UsageError(
    `${path}: not data that can be read (got ${extension || 'no extension'}, expected .txt, .jsonl, .npz, .npy or a folder).`,
  );
}

async function bareImages(path: string, options: DatasetOptions): Promise<Found> {
  const folder = await realpath(path);
  if ((await readdir(folder)).length === 0) throw new UsageError(`${path}: an empty folder.`);
  const description: ImagesDescription = {
    kind: 'images',
    files: ['.'],
    heldOut: [],
    layout: 'NCHW',
  };
  const preprocessing = await planPreprocessing(description, options.preprocessor);
  const images = await listImages(folder, description.files, path);
  const list = once(async () => openImageData(images, preprocessing));
  return {
    kind: 'images',
    hasLabels: false,
    samples: undefined,
    settings: { bare: 'images', preprocessing },
    files: images.map((image) => named(folder, image.path)),
    list: bareSplit(list),
  };
}

async function testDataSets(folder: string, sets: readonly string[]): Promise<Found> {
  const inputs = (await Promise.all(sets.map(listInputFiles))).flat();
  // ONNX gives a few cases to reproduce; with one alone, both splits are that one.
  const list = once(async () => openTestDataSets(sets));
  return {
    kind: 'tensors',
    hasLabels: false,
    samples: undefined,
    settings: 'test data sets',
    files: inputs.map((path) => named(folder, path)),
    list: sets.length < 5 ? list : bareSplit(list),
  };
}

function bareSplit(list: () => Promise<SampleList>): Found['list'] {
  return async (split) => splitBare(await list(), split === 'heldOut');
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

async function hashOf(found: Found, choice: unknown): Promise<string> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([found.kind, found.settings, choice]));
  for (const { name, path } of found.files) {
    hash.update(JSON.stringify([name, await hashFile(path)]));
  }
  return hash.digest('hex');
}
