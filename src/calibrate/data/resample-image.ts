/**
 * Resizing of 8-bit images with exactly Pillow's arithmetic, on which image models are trained and by which
 * Hugging Face's processors feed them: filters widened by the shrink factor, coefficients of 22 bits,
 * rows first, rounded to bytes between the two passes. libvips places enlarged pixels
 * elsewhere, and differs by 6 of 255 on average.
 */

/** An image of interleaved 8-bit channels. */
export interface ByteImage {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** How new pixels are mixed from old ones. */
export type ResampleFilter = 'nearest' | 'bilinear' | 'bicubic' | 'lanczos';

interface Kernel {
  /** Distance in pixels beyond which the weight is zero. */
  readonly support: number;
  weight(distance: number): number;
}

const KERNELS: Readonly<Record<Exclude<ResampleFilter, 'nearest'>, Kernel>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  // Keys (1981), a = -0.5.
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
    },
  },
  lanczos: {
    support: 3,
    weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0),
  },
};

/** Fraction bits of coefficients; leaves sums of 8-bit products inside 32 bits. */
const FRACTION_BITS = 22;

/** Returns the image at another size; the same object when it has that size. */
export function resampleImage(
  image: ByteImage,
  height: number,
  width: number,
  filter: ResampleFilter,
): ByteImage {
  if (filter === 'nearest') return resampleNearest(image, height, width);
  const kernel = KERNELS[filter];
  const wide = width === image.width ? image : resampleRows(image, width, kernel);
  return height === image.height ? wide : resampleColumns(wide, height, kernel);
}

/** Returns the rectangle of `height` x `width` in the centre, which must fit. */
export function cropCentre(image: ByteImage, height: number, width: number): ByteImage {
  if (height === image.height && width === image.width) return image;
  const { channels, data } = image;
  const top = Math.floor((image.height - height) / 2);
  const left = Math.floor((image.width - width) / 2);
  const cropped = new Uint8Array(height * width * channels);
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * image.width + left) * channels;
    cropped.set(data.subarray(start, start + width * channels), row * width * channels);
  }
  return { width, height, channels, data: cropped };
}

/** The old pixels that make up one new one. */
interface Taps {
  readonly first: number;
  /** Fixed-point weights that sum to about 2^22. */
  readonly weights: Int32Array;
}

function makeTaps(from: number, to: number, kernel: Kernel): readonly Taps[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = kernel.support * stretch;
  return Array.from({ length: to }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const exact = Array.from({ length: last - first }, (_, tap) =>
      kernel.weight((tap + first - centre + 0.5) * (1 / stretch)),
    );
    const total = exact.reduce((sum, weight) => sum + weight, 0);
    const weights = Int32Array.from(exact, (weight) => {
      const scaled = (weight / total) * 2 ** FRACTION_BITS;
      return Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
    });
    return { first, weights };
  });
}

function resampleRows(image: ByteImage, width: number, kernel: Kernel): ByteImage {
  const { height, channels, data } = image;
  const taps = makeTaps(image.width, width, kernel);
  const out = new Uint8Array(height * width * channels);
  let position = 0;
  for (let row = 0; row < height; row++) {
    const start = row * image.width * channels;
    for (const { first, weights } of taps) {
      for (let channel = 0; channel < channels; channel++) {
        out[position++] = mix(data, start + first * channels + channel, channels, weights);
      }
    }
  }
  return { width, height, channels, data: out };
}

function resampleColumns(image: ByteImage, height: number, kernel: Kernel): ByteImage {
  const { width, channels, data } = image;
  const stride = width * channels;
  const out = new Uint8Array(height * stride);
  let position = 0;
  for (const { first, weights } of makeTaps(image.height, height, kernel)) {
    for (let offset = 0; offset < stride; offset++) {
      out[position++] = mix(data, first * stride + offset, stride, weights);
    }
  }
  return { width, height, channels, data: out };
}

function mix(data: Uint8Array, start: number, stride: number, weights: Int32Array): number {
  let sum = 1 << (FRACTION_BITS - 1);
  for (let tap = 0; tap < weights.length; tap++) sum += data[start + tap * stride]! * weights[tap]!;
  return Math.min(255, Math.max(0, sum >> FRACTION_BITS));
}

function resampleNearest(image: ByteImage, height: number, width: number): ByteImage {
  if (height === image.height && width === image.width) return image;
  const { channels, data } = image;
  const out = new Uint8Array(height * width * channels);
  let position = 0;
  for (let row = 0; row < height; row++) {
    const oldRow = Math.floor(((row + 0.5) * image.height) / height);
    for (let column = 0; column < width; column++) {
      const oldColumn = Math.floor(((column + 0.5) * image.width) / width);
      const start = (oldRow * image.width + oldColumn) * channels;
      for (let channel = 0; channel < channels; channel++) out[position++] = data[start + channel]!;
    }
  }
  return { width, height, channels, data: out };
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}
