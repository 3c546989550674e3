import { readFile } from 'node:fs/promises';
import { FormatError, UsageError } from '../../errors.ts';
import type { TensorValue } from '../../values/tensor-value.ts';
import type { ImagesDescription } from './dataset-schema.ts';
import {
  type ByteImage,
  cropCentre,
  type ResampleFilter,
  resampleImage,
} from './resample-image.ts';

/** How an image file becomes `pixel_values`. */
export interface ImagePreprocessing {
  /** [height, width] to resize to; with `crop`, both are the length of the shorter edge. */
  readonly resize: readonly [number, number] | undefined;
  /** [height, width] cut from the centre. */
  readonly crop: readonly [number, number] | undefined;
  readonly resample: ResampleFilter;
  readonly channels: 1 | 3;
  readonly layout: 'NCHW' | 'NHWC';
  readonly rescale: number;
  /** One per channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** The fields of Hugging Face's `preprocessor_config.json` that plain image models use. */
interface PreprocessorConfig {
  readonly do_resize?: boolean;
  readonly size?: number | { height?: number; width?: number; shortest_edge?: number };
  readonly do_center_crop?: boolean;
  readonly crop_size?: number | { height?: number; width?: number };
  /** PIL's numbers: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic. */
  readonly resample?: number;
  readonly do_rescale?: boolean;
  readonly rescale_factor?: number;
  readonly do_normalize?: boolean;
  readonly image_mean?: readonly number[];
  readonly image_std?: readonly number[];
}

const PIL_FILTERS = ['nearest', 'lanczos', 'bilinear', 'bicubic'] as const;

/**
 * Returns the preprocessing that `dataset.yaml` describes; what it leaves open comes from the model's
 * `preprocessor_config.json` (path or undefined), then from plain defaults: no resize, 3 channels,
 * 1/255, mean 0, std 1. Throws {@link UsageError} when mean or std do not fit the channels.
 */
export async function planPreprocessing(
  description: ImagesDescription,
  preprocessor: string | undefined,
): Promise<ImagePreprocessing> {
  const config = await readConfig(preprocessor);
  const ownGeometry = description.resize !== undefined || description.crop !== undefined;
  const geometry = ownGeometry
    ? { resize: pair(description.resize), crop: pair(description.crop) }
    : configGeometry(config);
  const normalizes = config.do_normalize !== false;
  const mean = description.mean ?? (normalizes ? config.image_mean : undefined) ?? [0];
  const std = description.std ?? (normalizes ? config.image_std : undefined) ?? [1];
  const channels = description.channels ?? (mean.length === 1 && description.mean ? 1 : 3);
  const rescales = config.do_rescale !== false;
  return {
    ...geometry,
    resample: description.resample ?? PIL_FILTERS[config.resample ?? 2] ?? 'bilinear',
    channels,
    layout: description.layout,
    rescale: description.rescale ?? (rescales ? (config.rescale_factor ?? 1 / 255) : 1),
    mean: perChannel('mean', mean, channels),
    std: perChannel('std', std, channels),
  };
}

/**
 * Returns one image as float32 `pixel_values`, [channels, height, width] or, for NHWC, [height, width,
 * channels]: `(byte * rescale - mean) / std`. Transparency is dropped and EXIF orientation
 * applied, as Hugging Face's pipelines do. Throws {@link FormatError} for a file that is no image.
 */
export async function readImage(path: string, plan: ImagePreprocessing): Promise<TensorValue> {
  const image = await decode(path, plan).catch((error: unknown) => {
    throw new FormatError(
      `${path}: not an image that can be read (${error instanceof Error ? error.message : error}).`,
    );
  });
  const { channels, layout, mean, std, rescale } = plan;
  const { data, height, width } = image;
  const pixels = width * height;
  const values = new Float32Array(pixels * channels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < channels; channel++) {
      const byte = data[pixel * image.channels + channel]!;
      const at = layout === 'NCHW' ? channel * pixels + pixel : pixel * channels + channel;
      values[at] = (byte * rescale - mean[channel]!) / std[channel]!;
    }
  }
  const dims = layout === 'NCHW' ? [channels, height, width] : [height, width, channels];
  return { dataType: 'float32', dims, data: values };
}

async function decode(path: string, plan: ImagePreprocessing): Promise<ByteImage> {
  // Loaded with the first image: a native library of 20 MB that text and tensors never need.
  const { default: sharp } = await import('sharp');
  const { data, info } = await sharp(path)
    .autoOrient()
    .removeAlpha()
    .toColourspace(plan.channels === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const image = resized({ width, height, channels, data }, plan);
  if (plan.crop === undefined) return image;
  const [cropHeight, cropWidth] = plan.crop;
  if (image.width < cropWidth || image.height < cropHeight) {
    throw new Error(
      `${image.height}x${image.width} is smaller than the crop ${cropHeight}x${cropWidth}`,
    );
  }
  return cropCentre(image, cropHeight, cropWidth);
}

function resized(image: ByteImage, { resize, crop, resample }: ImagePreprocessing): ByteImage {
  if (resize === undefined) return image;
  const [height, width] = resize;
  if (crop === undefined) return resampleImage(image, height, width, resample);
  // The shorter edge as long as asked, the other in proportion, rounded down.
  const shorter = Math.min(image.height, image.width);
  const scaled = (edge: number): number => Math.floor((height * edge) / shorter);
  return resampleImage(image, scaled(image.height), scaled(image.width), resample);
}

function configGeometry(config: PreprocessorConfig): Pick<ImagePreprocessing, 'resize' | 'crop'> {
  const crop = config.do_center_crop === true ? sizePair(config.crop_size) : undefined;
  if (config.do_resize === false) return { resize: undefined, crop };
  const { size } = config;
  const shortest = typeof size === 'object' ? size.shortest_edge : undefined;
  if (shortest !== undefined) {
    return { resize: [shortest, shortest], crop: crop ?? [shortest, shortest] };
  }
  return { resize: sizePair(size), crop };
}

function sizePair(
  size: number | { height?: number; width?: number } | undefined,
): readonly [number, number] | undefined {
  if (typeof size !== 'object') return pair(size);
  return size.height === undefined || size.width === undefined
    ? undefined
    : [size.height, size.width];
}

function pair(
  size: number | readonly [number, number] | undefined,
): readonly [number, number] | undefined {
  return typeof size === 'number' ? [size, size] : size;
}

function perChannel(key: string, values: readonly number[], channels: number): readonly number[] {
  if (values.length === channels) return values;
  if (values.length === 1) return Array.from({ length: channels }, () => values[0]!);
  throw new UsageError(
    `${key}: one number per channel (got ${values.length}, expected ${channels}).`,
  );
}

async function readConfig(path: string | undefined): Promise<PreprocessorConfig> {
  if (path === undefined) return {};
  try {
    return JSON.parse(await readFile(path, 'utf8')) as PreprocessorConfig;
  } catch (error) {
    throw new UsageError(
      `${path}: not a preprocessor configuration (${error instanceof Error ? error.message : error}).`,
    );
  }
}
