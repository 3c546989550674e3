import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, relative, sep } from 'node:path';
import { UsageError } from '../errors.ts';
import { hashFile } from '../storage/hash-file.ts';
import { chooseSamples, splitBare } from './data/choose-samples.ts';
import {
  type DatasetDescription,
  type ImagesDescription,
  parseDataset,
  type TextDescription,
} from './data/dataset-schema.ts';
import { listImages, openImageData, withLabels } from './data/image-data.ts';
import { planPreprocessing } from './data/image-preprocessing.ts';
import { resolveFile, resolveFiles } from './data/inside-folder.ts';
import { openTensorData } from './data/tensor-data.ts';
import { listInputFiles, listTestDataSets, openTestDataSets } from './data/test-data-sets.ts';
import { openTextData, TEXT_BUDGET } from './data/text-data.ts';
import { BYTE_ENCODING, readTokenizer, type TextEncoding } from './data/tokenizer.ts';
import type { Dataset, DatasetOptions, SampleList, Split } from './sample.ts';

export type { Dataset, DatasetOptions, Sample, Split } from './sample.ts';

/** A data set as found on disk, before anybody chooses samples. */
interface Found {
  readonly kind: Dataset['kind'];
  readonly hasLabels: boolean;
  /** Samples of calibration when dataset.yaml says. */
  readonly samples: number | undefined;
  /** Everything that shapes samples, for the hash: settings, then files by name in the set. */
  readonly settings: unknown;
  readonly files: readonly HashedFile[];
  list(split: Split): Promise<SampleList>;
}

interface HashedFile {
  readonly name: string;
  readonly path: string;
}

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
    chooseSamples((await listOf(split)).count, wanted[split], options.seed);
  return {
    kind: found.kind,
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

/** What is data in a folder that `files` or `heldOut` name; a file that they name is taken as it is. */
const FILE_EXTENSIONS = { text: ['.txt', '.jsonl'], tensors: ['.npz', '.npy'] } as const;

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
  const extensions = FILE_EXTENSIONS[description.kind];
  const inside = async (names: readonly string[]): Promise<readonly string[]> => {
    const lists = names.map((name) => resolveFiles(folder, name, where, extensions));
    const paths = (await Promise.all(lists)).flat();
    if (paths.length > 0 || names.length === 0) return paths;
    throw new UsageError(
      `${where}: no data in ${names.join(', ')} (expected ${extensions.join(' ')}).`,
    );
  };
  const splits = {
    calibration: await inside(description.files),
    heldOut: await inside(description.heldOut),
  };
  const files = [...splits.calibration, ...splits.heldOut];
  if (description.kind === 'tensors') {
    return {
      kind: 'tensors',
      hasLabels: description.labels !== undefined,
      samples: description.samples,
      settings: description,
      files: files.map((file) => named(folder, file)),
      list: (split) => openTensorData(splits[split], description.labels),
    };
  }
  const sequenceLength = options.sequenceLength ?? description.sequenceLength;
  const tokenizer = await findTokenizer(folder, where, description, options);
  const samples = options.samples ?? description.samples;
  return {
    kind: 'text',
    hasLabels: false,
    samples: description.samples,
    settings: { ...description, sequenceLength },
    files: [...files.map((file) => named(folder, file)), ...tokenizer.files],
    list: (split) =>
      openTextData(splits[split], {
        encoding: tokenizer.encoding,
        sequenceLength,
        ...(split === 'calibration' && { budget: textBudget(samples, sequenceLength) }),
      }),
  };
}

/** A few samples need no more than a little text: 64 bytes a token leave a choice. */
function textBudget(samples: number | undefined, sequenceLength: number): number {
  if (samples === undefined) return TEXT_BUDGET;
  return Math.min(TEXT_BUDGET, Math.max(4 << 20, samples * sequenceLength * 64));
}

interface FoundTokenizer {
  readonly encoding: TextEncoding;
  readonly files: readonly HashedFile[];
}

async function findTokenizer(
  folder: string,
  where: string,
  description: Pick<TextDescription, 'tokenizer'>,
  options: DatasetOptions,
): Promise<FoundTokenizer> {
  if (description.tokenizer === 'bytes') return { encoding: BYTE_ENCODING, files: [] };
  const path =
    description.tokenizer === undefined
      ? options.tokenizer
      : await resolveFile(folder, description.tokenizer, where);
  if (path === undefined) {
    throw new UsageError(
      `${where}: no tokenizer. Put tokenizer.json beside the model, or write "tokenizer:" into dataset.yaml (a tokenizer.json, or bytes).`,
    );
  }
  return { encoding: await readTokenizer(path), files: [{ name: 'tokenizer', path }] };
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

function named(folder: string, path: string): HashedFile {
  return { name: relative(folder, path).split(sep).join('/'), path };
}

async function hashOf(found: Found, choice: unknown): Promise<string> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([found.kind, found.settings, choice]));
  for (const { name, path } of found.files) {
    hash.update(JSON.stringify([name, await hashFile(path)]));
  }
  return hash.digest('hex');
}
