import { readFile, stat } from 'node:fs/promises';
import { basename, extname, relative, sep } from 'node:path';
import { UsageError } from '../../errors.ts';
import type { SampleList } from '../sample.ts';
import { type ImagePreprocessing, readImage } from './image-preprocessing.ts';
import { resolveFile, resolveFiles, resolveInside } from './inside-folder.ts';

const IMAGE_EXTENSIONS: readonly string[] = [
  '.png',
  '.jpg',
  '.jpeg',
  '.webp',
  '.gif',
  '.tif',
  '.tiff',
  '.avif',
];

/** An image file and its class, where known. */
export interface ImageFile {
  readonly path: string;
  readonly label?: number;
}

/** Says whether a file name ends like an image that can be decoded. */
function isImageName(name: string): boolean {
  return IMAGE_EXTENSIONS.includes(extname(name).toLowerCase());
}

/**
 * Returns the images that `entries` name: image files, folders (with their subfolders, in the order
 * of their names) and list files (`.txt`, a line `file class` or `file` each). All lie inside `folder`.
 * `where` names the data set in errors.
 */
export async function listImages(
  folder: string,
  entries: readonly string[],
  where: string,
): Promise<readonly ImageFile[]> {
  const images: ImageFile[] = [];
  for (const entry of entries) {
    const path = await resolveInside(folder, entry, where);
    if (isImageName(entry) || (await stat(path)).isDirectory()) {
      const files = await resolveFiles(folder, entry, where, IMAGE_EXTENSIONS);
      images.push(...files.map((file) => ({ path: file })));
    } else images.push(...(await readList(folder, path, where)));
  }
  if (images.length === 0 && entries.length > 0) {
    throw new UsageError(
      `${where}: no image in ${entries.join(', ')} (expected ${IMAGE_EXTENSIONS.join(' ')}).`,
    );
  }
  return images;
}

async function readList(
  folder: string,
  path: string,
  where: string,
): Promise<readonly ImageFile[]> {
  const images: ImageFile[] = [];
  for (const line of (await readFile(path, 'utf8')).split('\n')) {
    const trimmed = line.trim();
    if (trimmed === '') continue;
    const labelled = /^(.*\S)\s+(\d+)$/.exec(trimmed);
    const image = await resolveFile(folder, labelled?.[1] ?? trimmed, where);
    images.push(labelled === null ? { path: image } : { path: image, label: Number(labelled[2]) });
  }
  return images;
}

/** One line of a label file. `name` is absent when the line is a class alone. */
interface LabelLine {
  readonly name: string | undefined;
  readonly label: number;
}

/** Returns the lines `file class` or `class`. Throws {@link UsageError} naming file and line. */
function parseLabels(text: string, where: string): readonly LabelLine[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const match = /^(?:(.*\S)\s+)?(\d+)$/.exec(line.trim());
    if (match !== null) return [{ name: match[1], label: Number(match[2]) }];
    throw new UsageError(
      `${where}:${index + 1}: not a label (got "${line.trim().slice(0, 60)}", expected "file class" or a class number).`,
    );
  });
}

/**
 * Returns the images with their classes from a label file: by path relative to `folder` or by file
 * name, or in order when its lines are classes alone (`inOrder`, else those lines are ignored).
 */
export async function withLabels(
  images: readonly ImageFile[],
  options: { readonly folder: string; readonly labels: string; readonly inOrder: boolean },
): Promise<readonly ImageFile[]> {
  const lines = parseLabels(await readFile(options.labels, 'utf8'), options.labels);
  if (lines.every(({ name }) => name === undefined)) {
    if (!options.inOrder) return images;
    if (lines.length !== images.length) {
      throw new UsageError(
        `${options.labels}: one class per held-out image (got ${lines.length}, expected ${images.length}).`,
      );
    }
    return images.map(({ path }, index) => ({ path, label: lines[index]!.label }));
  }
  const byName = new Map(lines.map(({ name, label }) => [name, label]));
  return images.map((image) => {
    const relativePath = relative(options.folder, image.path).split(sep).join('/');
    const label = byName.get(relativePath) ?? byName.get(basename(image.path)) ?? image.label;
    return label === undefined ? { path: image.path } : { path: image.path, label };
  });
}

/** Returns the samples of image files, decoded one at a time. */
export function openImageData(images: readonly ImageFile[], plan: ImagePreprocessing): SampleList {
  return {
    count: images.length,
    async *read(indices) {
      for (const index of indices) {
        const { path, label } = images[index]!;
        const values = new Map([['pixel_values', await readImage(path, plan)]]);
        yield label === undefined ? { values } : { values, label };
      }
    },
  };
}
