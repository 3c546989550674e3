import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type ByteImage,
  cropCentre,
  type ResampleFilter,
  resampleImage,
} from '../../../src/calibrate/data/resample-image.ts';

interface Golden {
  readonly height: number;
  readonly width: number;
  readonly pixels: readonly number[];
  readonly cases: readonly {
    readonly filter: ResampleFilter;
    readonly height: number;
    readonly width: number;
    readonly pixels: readonly number[];
  }[];
}

const golden = JSON.parse(
  readFileSync(new URL('../golden/pillow.json', import.meta.url), 'utf8'),
) as Golden;

function grey(width: number, pixels: readonly number[]): ByteImage {
  return { width, height: pixels.length / width, channels: 1, data: Uint8Array.from(pixels) };
}

describe('resizing', () => {
  it.each(golden.cases)('equals Pillow byte for byte: $filter to $height x $width', (wanted) => {
    const { height, width, pixels } = golden;
    const image = { height, width, channels: 3, data: Uint8Array.from(pixels) };
    const resized = resampleImage(image, wanted.height, wanted.width, wanted.filter);
    expect([resized.height, resized.width]).toEqual([wanted.height, wanted.width]);
    expect([...resized.data]).toEqual(wanted.pixels);
  });

  it('to half averages what a widened triangle covers', () => {
    // Two new pixels from four old: weights 3 3 1 (of 7) at the border.
    expect([...resampleImage(grey(4, [70, 70, 0, 0]), 1, 2, 'bilinear').data]).toEqual([60, 10]);
  });

  it('to the same size gives the same object', () => {
    const image = grey(2, [1, 2, 3, 4]);
    for (const filter of ['nearest', 'bilinear', 'bicubic', 'lanczos'] as const) {
      expect(resampleImage(image, 2, 2, filter)).toBe(image);
    }
  });

  it('cuts the centre, the odd pixel staying at the right and below', () => {
    const image = grey(4, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect([...cropCentre(image, 2, 1).data]).toEqual([1, 5]);
  });
});
