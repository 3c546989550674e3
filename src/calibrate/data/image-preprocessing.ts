import { readFile } from 'node:fs/promises';
import sharp, { type OutputInfo } from 'sharp';
import { FormatError, UsageError } from '../../errors.ts';
import type { TensorValue } from '../../runners/runner.ts';
import type { ImagesDescription } from './dataset-schema.ts';

/** How an image file becomes `pixel_values`. */
export interface ImagePreprocessing {
  /** [height, width] to resize to; with `crop`, both are the length of the shorter edge. */
  readonly resize: readonly [number, number] | undefined;
  /** [height, width] cut from the centre. */
  readonly crop: readonly [number, number] | undefined;
  readonly resample: 'nearest' | 'bilinear' | 'bicubic' | 'lanczos';
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
const KERNELS = {
  nearest: 'nearest',
  bilinear: 'linear',
  bicubic: 'cubic',
  lanczos: 'lanczos3',
} as const;

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
 * channels]: `(byte * rescale - mean) / std`. Transparency is dropped, EXIF orientation ignored, as
 * Hugging Face's processors do. Throws {@link FormatError} for a file that is no image.
 */
export async function readImage(path: string, plan: ImagePreprocessing): Promise<TensorValue> {
  const { data, info } = await decode(path, plan).catch((error: unknown) => {
    throw new FormatError(
      `${path}: not an image that can be read (${error instanceof Error ? error.message : error}).`,
    );
  });
  const { channels, layout, mean, std, rescale } = plan;
  const pixels = info.width * info.height;
  const values = new Float32Array(pixels * channels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < channels; channel++) {
      const value =
        (data[pixel * info.channels + channel]! * rescale - mean[channel]!) / std[channel]!;
      values[layout === 'NCHW' ? channel * pixels + pixel : pixel * channels + channel] = value;
    }
  }
  const { height, width } = info;
  const dims = layout === 'NCHW' ? [channels, height, width] : [height, width, channels];
  return { dataType: 'float32', dims, data: values };
}

async function decode(
  path: string,
  plan: ImagePreprocessing,
): Promise<{ data: Buffer; info: OutputInfo }> {
  let image = sharp(path).removeAlpha();
  image = plan.channels === 1 ? image.toColourspace('b-w') : image.toColourspace('srgb');
  const kernel = KERNELS[plan.resample];
  if (plan.resize !== undefined) {
    const [height, width] = plan.resize;
    // Both edges at least as long as asked: the shorter one exactly, as the crop needs it.
    const fit = plan.crop === undefined ? 'fill' : 'outside';
    image = image.resize({ height, width, fit, kernel, fastShrinkOnLoad: false });
  }
  const first = await image.raw().toBuffer({ resolveWithObject: true });
  if (plan.crop === undefined) return first;
  const [height, width] = plan.crop;
  const { info } = first;
  if (info.width < width || info.height < height) {
    throw new Error(`${info.height}x${info.width} is smaller than the crop ${height}x${width}`);
  }
  const raw = { width: info.width, height: info.height, channels: info.channels };
  return sharp(first.data, { raw })
    .extract({
      left: Math.floor((info.width - width) / 2),
      top: Math.floor((info.height - height) / 2),
      width,
      height,
    })
    .raw()
    .toBuffer({ resolveWithObject: true });
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
