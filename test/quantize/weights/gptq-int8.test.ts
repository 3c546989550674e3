import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choosePairSafeScale } from '../../../src/numerics/affine.ts';
import { gptqFactor } from '../../../src/quantize/weights/gptq.ts';
import { roundInt8ByGptq } from '../../../src/quantize/weights/gptq-int8.ts';
import { momentsOfGram } from '../../../src/quantize/weights/input-moments.ts';
import { noise } from '../../kit/models.ts';

const ROWS = 6;

/** Sum of x * transpose(x) over correlated vectors of `width` features. */
function gramOf(width: number, seed: number): Float32Array {
  const gram = new Float32Array(width * width);
  for (let token = 0; token < 3 * width; token++) {
    const own = noise(seed + token, width);
    const common = noise(seed + 5000 + token, 1)[0]!;
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        gram[i * width + j]! += (own[i]! + 2 * common) * (own[j]! + 2 * common);
      }
    }
  }
  return gram;
}

function round(weights: Float32Array, width: number, gram: Float32Array, scales: Float32Array) {
  const factor = gptqFactor(momentsOfGram(width, 3 * width, gram));
  const order = Uint32Array.from({ length: width }, (_, index) => index);
  const into = new Int8Array(weights.length);
  roundInt8ByGptq(weights, { scales, isPairSafe: true }, { factor, width, order }, into);
  return into;
}

/** Sum over rows of e * gram * e for the errors e of a row: what the output loses. */
function outputError(
  weights: Float32Array,
  integers: ArrayLike<number>,
  scales: Float32Array,
  gram: Float32Array,
): number {
  const width = weights.length / scales.length;
  let sum = 0;
  scales.forEach((scale, row) => {
    const error = Float64Array.from(
      { length: width },
      (_, column) => weights[row * width + column]! - integers[row * width + column]! * scale,
    );
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) sum += error[i]! * error[j]! * gram[i * width + j]!;
    }
  });
  return sum;
}

function pairSafeScales(weights: Float32Array, width: number): Float32Array {
  return Float32Array.from({ length: weights.length / width }, (_, row) => {
    const own = weights.subarray(row * width, (row + 1) * width);
    let most = 0;
    let pair = 0;
    own.forEach((weight, column) => {
      most = Math.max(most, Math.abs(weight));
      const next = own[column + 1];
      if (column % 2 === 0 && next !== undefined) pair = Math.max(pair, Math.abs(weight + next));
    });
    return choosePairSafeScale(most, pair);
  });
}

describe('roundInt8ByGptq', () => {
  it('makes good by hand what the feature before has lost', () => {
    // Two features that are always equal: 0.4 is lost of the first, so the second takes it.
    const gram = Float32Array.of(1, 1, 1, 1);
    const integers = round(Float32Array.of(1.4, 1.4), 2, gram, Float32Array.of(1));
    // 1.4 -> 1; then 1.4 + 0.4 / 1.01 = 1.796 -> 2: three in all, as 2.8 wants it.
    expect([...integers]).toEqual([1, 2]);
  });

  it('rounds to nearest where features have nothing to do with each other', () => {
    const width = 40;
    const eye = new Float32Array(width * width);
    for (let index = 0; index < width; index++) eye[index * (width + 1)] = 1 + index;
    const weights = noise(3, ROWS * width);
    const scales = pairSafeScales(weights, width);
    const nearest = Int8Array.from(weights, (weight, index) =>
      Math.round(weight / scales[Math.floor(index / width)]!),
    );
    expect(round(weights, width, eye, scales)).toEqual(nearest);
  });

  it('loses less than nearest integers, and no pair of one sign passes 128', () => {
    fc.assert(
      fc.property(fc.integer({ min: 16, max: 75 }), fc.nat(10_000), (width, seed) => {
        const weights = noise(seed, ROWS * width);
        const scales = pairSafeScales(weights, width);
        const gram = gramOf(width, seed);
        const integers = round(weights, width, gram, scales);
        for (let row = 0; row < ROWS; row++) {
          for (let column = 0; column + 1 < width; column += 2) {
            const [a, b] = [integers[row * width + column]!, integers[row * width + column + 1]!];
            if (a * b > 0) expect(Math.abs(a + b)).toBeLessThanOrEqual(128);
            expect(Math.max(Math.abs(a), Math.abs(b))).toBeLessThanOrEqual(127);
          }
        }
        const nearest = Array.from(weights, (weight, index) =>
          Math.round(weight / scales[Math.floor(index / width)]!),
        );
        expect(outputError(weights, integers, scales, gram)).toBeLessThan(
          // Greedy: a small case may be unlucky.
          1.1 * outputError(weights, nearest, scales, gram),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('halves the error of correlated inputs at least', () => {
    const width = 64;
    const weights = noise(11, ROWS * width);
    const scales = pairSafeScales(weights, width);
    const gram = gramOf(width, 11);
    const nearest = Array.from(weights, (weight, index) =>
      Math.round(weight / scales[Math.floor(index / width)]!),
    );
    expect(outputError(weights, round(weights, width, gram, scales), scales, gram)).toBeLessThan(
      0.5 * outputError(weights, nearest, scales, gram),
    );
  });

  it('rounds features in the order that it is given, neighbours staying what they are', () => {
    const gram = Float32Array.of(1, 1, 1, 1);
    const factor = gptqFactor(momentsOfGram(2, 8, gram));
    const into = new Int8Array(2);
    const carry = { factor, width: 2, order: Uint32Array.of(1, 0) };
    roundInt8ByGptq(
      Float32Array.of(1.4, 1.4),
      { scales: Float32Array.of(1), isPairSafe: true },
      carry,
      into,
    );
    expect([...into]).toEqual([2, 1]);
    // The first to be rounded takes 127, which leaves its neighbour 1 of one sign.
    roundInt8ByGptq(
      Float32Array.of(127, 127),
      { scales: Float32Array.of(1), isPairSafe: true },
      carry,
      into,
    );
    expect([...into]).toEqual([1, 127]);
  });
});
