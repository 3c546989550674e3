import { describe, expect, it } from 'vitest';
import {
  createInt4Rows,
  dequantizeInt4Rows,
  type Int4BlockSize,
  type Int4Rows,
} from '../../../src/numerics/int4-blocks.ts';
import { gptqFactor, roundByGptq } from '../../../src/quantize/weights/gptq.ts';
import {
  type InputMoments,
  importanceOf,
  momentsOfGram,
} from '../../../src/quantize/weights/input-moments.ts';
import { type RoundInt4, roundToNearest } from '../../../src/quantize/weights/round-int4.ts';
import { noise } from '../../kit/models.ts';

const ROWS = 24;

function apply(
  round: RoundInt4,
  weights: Float32Array,
  width: number,
  size: Int4BlockSize,
): Int4Rows {
  const rows = createInt4Rows(weights.length / width, width, size);
  round(weights, rows);
  return rows;
}

/** Activations that share a few directions and have spread-out sizes, as those of transformers do. */
function correlatedMoments(width: number, count: number): InputMoments {
  const directions = 16;
  const mix = noise(3, directions * width);
  const sizes = noise(4, width).map((value) => Math.exp(1.5 * value));
  const gram = new Float64Array(width * width);
  const x = new Float64Array(width);
  for (let row = 0; row < count; row++) {
    const shared = noise(1000 + row, directions);
    const own = noise(9000 + row, width);
    for (let index = 0; index < width; index++) {
      let value = 0.3 * own[index]!;
      for (let d = 0; d < directions; d++) value += shared[d]! * mix[d * width + index]!;
      x[index] = value * sizes[index]!;
    }
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) gram[i * width + j]! += x[i]! * x[j]!;
    }
  }
  return momentsOfGram(width, count, Float32Array.from(gram));
}

function identityMoments(width: number): InputMoments {
  const gram = new Float32Array(width * width);
  for (let index = 0; index < width; index++) gram[index * (width + 1)] = 1;
  return momentsOfGram(width, width, gram);
}

/** Sum over rows of d * gram * d, d the difference of a rounded row. */
function outputError(weights: Float32Array, rows: Int4Rows, moments: InputMoments): number {
  const { width, gram = new Float32Array() } = moments;
  const rounded = dequantizeInt4Rows(rows);
  let error = 0;
  for (let start = 0; start < weights.length; start += width) {
    for (let i = 0; i < width; i++) {
      const di = rounded[start + i]! - weights[start + i]!;
      let product = 0;
      for (let j = 0; j < width; j++) {
        product += gram[i * width + j]! * (rounded[start + j]! - weights[start + j]!);
      }
      error += di * product;
    }
  }
  return error;
}

describe('sequential MSE', () => {
  it('has less output error than full ranges when inputs are as uncorrelated as it takes them', () => {
    const width = 256;
    const weights = noise(1, ROWS * width).map((value) => value ** 3);
    const { gram = new Float32Array(), rowCount } = correlatedMoments(width, 200);
    const alone = gram.map((value, index) => (index % (width + 1) === 0 ? value : 0));
    const moments = momentsOfGram(width, rowCount, alone);
    for (const symmetric of [true, false]) {
      const grid = { blockSize: 128, symmetric } as const;
      const searched = apply(roundToNearest(grid, importanceOf(moments)), weights, width, 128);
      const nearest = apply(roundToNearest(grid), weights, width, 128);
      expect(outputError(weights, searched, moments)).toBeLessThan(
        0.97 * outputError(weights, nearest, moments),
      );
    }
  });
});

describe('GPTQ', () => {
  const width = 256;
  const weights = noise(1, ROWS * width);
  const moments = correlatedMoments(width, 600);
  const factor = gptqFactor(moments);
  const importance = importanceOf(moments);

  for (const symmetric of [true, false]) {
    for (const blockSize of [32, 128] as const) {
      const grid = { blockSize, symmetric };
      it(`leaves at most 0.7 of the output error of rounding to nearest (g${blockSize}, ${symmetric ? '' : 'a'}symmetric)`, () => {
        const nearest = outputError(
          weights,
          apply(roundToNearest(grid), weights, width, blockSize),
          moments,
        );
        const mse = outputError(
          weights,
          apply(roundToNearest(grid, importance), weights, width, blockSize),
          moments,
        );
        const gptq = outputError(
          weights,
          apply(roundByGptq(grid, { factor, width, importance }), weights, width, blockSize),
          moments,
        );
        expect(gptq).toBeLessThanOrEqual(0.7 * nearest);
        expect(gptq).toBeLessThan(mse);
      });
    }
  }

  it('is rounding to nearest when inputs are uncorrelated', () => {
    const identity = identityMoments(width);
    for (const symmetric of [true, false]) {
      const grid = { blockSize: 64, symmetric } as const;
      const options = { factor: gptqFactor(identity), width };
      expect(apply(roundByGptq(grid, options), weights, width, 64)).toEqual(
        apply(roundToNearest(grid), weights, width, 64),
      );
      const flat = importanceOf(identity);
      expect(
        apply(roundByGptq(grid, { ...options, importance: flat }), weights, width, 64),
      ).toEqual(apply(roundToNearest(grid, flat), weights, width, 64));
    }
  });

  it('rounds rows on their own: a row alone gives the same integers as among others', () => {
    const round = roundByGptq({ blockSize: 32, symmetric: true }, { factor, width, importance });
    const many = noise(8, 70 * width);
    const all = apply(round, many, width, 32);
    const last = apply(round, many.slice(69 * width), width, 32);
    expect(all.integers.slice(69 * width)).toEqual(last.integers);
    expect(all.scales.slice(69 * 8)).toEqual(last.scales);
  });

  it('gives the same twice', () => {
    const round = roundByGptq({ blockSize: 32, symmetric: false }, { factor, width, importance });
    expect(apply(round, weights, width, 32)).toEqual(apply(round, weights, width, 32));
    expect(gptqFactor(moments)).toEqual(factor);
  });

  it('takes dead inputs: their weights are rounded to nearest and carry nothing', () => {
    const gram = moments.gram!.slice();
    for (const dead of [0, 100, 255]) {
      for (let index = 0; index < width; index++) {
        gram[dead * width + index] = 0;
        gram[index * width + dead] = 0;
      }
    }
    const some = momentsOfGram(width, 600, gram);
    const deadFactor = gptqFactor(some);
    expect(deadFactor.every(Number.isFinite)).toBe(true);
    expect(deadFactor.slice(1, width).every((value) => value === 0)).toBe(true);
    const grid = { blockSize: 128, symmetric: true } as const;
    const round = roundByGptq(grid, { factor: deadFactor, width });
    expect(outputError(weights, apply(round, weights, width, 128), some)).toBeLessThan(
      outputError(weights, apply(roundToNearest(grid), weights, width, 128), some),
    );
    const silent = momentsOfGram(width, 4, new Float32Array(width * width));
    const all = roundByGptq(grid, { factor: gptqFactor(silent), width });
    expect(apply(all, weights, width, 128)).toEqual(
      apply(roundToNearest(grid), weights, width, 128),
    );
  });

  it('rounds a last block that is short, and widths that are no multiple of its panels', () => {
    const odd = correlatedMoments(150, 300);
    const narrow = noise(5, ROWS * 150);
    const grid = { blockSize: 64, symmetric: true } as const;
    const round = roundByGptq(grid, {
      factor: gptqFactor(odd),
      width: 150,
      importance: importanceOf(odd),
    });
    const rows = apply(round, narrow, 150, 64);
    expect(rows.scales).toHaveLength(ROWS * 3);
    expect(outputError(narrow, rows, odd)).toBeLessThan(
      0.7 * outputError(narrow, apply(roundToNearest(grid), narrow, 150, 64), odd),
    );
  });

  it('refuses moments that are not finite', () => {
    const gram = Float32Array.of(Number.NaN, 0, 0, 1);
    expect(() => gptqFactor(momentsOfGram(2, 1, gram))).toThrow(RangeError);
    const squares = new Float32Array(2);
    expect(() => gptqFactor({ width: 2, rowCount: 1, squares })).toThrow(RangeError);
  });
});
