import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AffineScheme,
  chooseScale,
  chooseSymmetricScale,
  createQuantizedArray,
  dequantize,
  dequantizePerAxis,
  FLOAT16_MIN_SCALE,
  type IntegerType,
  integerRange,
  quantize,
  quantizePerAxis,
  representableRange,
} from '../../src/numerics/affine.ts';
import { roundToFloat16 } from '../../src/numerics/float16.ts';

type AffineCase = [number, number, IntegerType, boolean, boolean, number, number];
interface QuantizeCase {
  readonly dataType: 'int8' | 'uint8';
  readonly scale: number;
  readonly zeroPoint: number;
  readonly values: readonly number[];
  readonly integers: readonly number[];
}

function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8')) as T;
}

describe('Choice of scale', () => {
  test('Scale and zero point are bit for bit those of onnxruntime 1.30.', () => {
    const cases = golden<AffineCase[]>('affine.json');
    expect(cases.length).toBeGreaterThan(700);
    for (const [min, max, dataType, symmetric, reduceRange, scale, zeroPoint] of cases) {
      const scheme = { dataType, symmetric, reduceRange };
      const chosen = chooseScale({ min, max }, scheme);
      expect({ min, max, ...scheme, ...chosen }).toEqual({ min, max, ...scheme, scale, zeroPoint });
    }
  });

  test.each<[AffineScheme, number, number]>([
    [{ dataType: 'int8', symmetric: false }, Math.fround(8 / 255), -32],
    [{ dataType: 'uint8', symmetric: false }, Math.fround(8 / 255), 96],
    [{ dataType: 'int8', symmetric: true }, Math.fround(5 / 127), 0],
    [{ dataType: 'uint8', symmetric: true }, Math.fround(10 / 255), 128],
    [{ dataType: 'int4', symmetric: false }, Math.fround(8 / 15), -2],
  ])('-3..5 with %o has scale %d and zero point %d.', (scheme, scale, zeroPoint) => {
    expect(chooseScale({ min: -3, max: 5 }, scheme)).toEqual({ scale, zeroPoint });
  });

  test('A range without zero is widened to hold it.', () => {
    expect(chooseScale({ min: 2, max: 5.1 }, { dataType: 'uint8', symmetric: false })).toEqual({
      scale: Math.fround(Math.fround(5.1) / 255),
      zeroPoint: 0,
    });
  });

  test('A float16 scale is a float16, exact to 1 % down to 3e-6, and 1 only for a range of nothing.', () => {
    const scheme = { dataType: 'int8', symmetric: true, scaleType: 'float16' } as const;
    expect(chooseScale({ min: -5, max: 5 }, scheme).scale).toBe(roundToFloat16(5 / 127));
    // 127 * 2^-16 is held by the subnormal 2^-16; 51 * 2^-24 is the least that is kept.
    expect(chooseScale({ min: -127 * 2 ** -16, max: 1e-5 }, scheme).scale).toBe(2 ** -16);
    expect(chooseSymmetricScale(127 * 2 ** -16, 127, 'float16')).toBe(2 ** -16);
    expect(chooseScale({ min: -1e-4, max: 1e-5 }, scheme).scale).toBe(51 * 2 ** -24);
    expect(chooseScale({ min: -1e38, max: 0 }, scheme).scale).toBe(65504);
    expect(chooseScale({ min: 0, max: 0 }, scheme).scale).toBe(1);
  });

  test('Rounding a scale to float16 moves it by less than 1 %, whatever is not raised.', () => {
    fc.assert(
      fc.property(fc.double({ min: 127 * FLOAT16_MIN_SCALE, max: 1e6, noNaN: true }), (absMax) => {
        const scale = chooseSymmetricScale(absMax, 127, 'float16');
        expect(Math.abs(scale / (absMax / 127) - 1)).toBeLessThan(0.01);
      }),
    );
  });

  test('Any finite range gives a positive scale that is not too small, a zero point in range, and zero exactly zero.', () => {
    const schemes = fc.record({
      dataType: fc.constantFrom<IntegerType>('int8', 'uint8', 'int16', 'uint16', 'int4', 'uint4'),
      symmetric: fc.boolean(),
      reduceRange: fc.boolean(),
      scaleType: fc.constantFrom('float32', 'float16'),
    });
    const value = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(value, value, schemes, (first, second, scheme) => {
        const range = { min: Math.min(first, second), max: Math.max(first, second) };
        const { scale, zeroPoint } = chooseScale(range, scheme);
        const integers = integerRange(scheme);
        expect(scale).toBeGreaterThanOrEqual(
          scheme.scaleType === 'float16' ? FLOAT16_MIN_SCALE : 2 ** -126,
        );
        expect(Number.isFinite(scale)).toBe(true);
        expect(zeroPoint).toBeGreaterThanOrEqual(integers.min);
        expect(zeroPoint).toBeLessThanOrEqual(integers.max);
        const parameters = { scale, zeroPoint };
        const zero = quantize(
          Float32Array.of(0),
          parameters,
          integers,
          createQuantizedArray(scheme.dataType, 1),
        );
        expect(dequantize(zero, parameters)[0]).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  test('NaN and infinite ranges are refused.', () => {
    const scheme = { dataType: 'int8', symmetric: true } as const;
    expect(() => chooseScale({ min: NaN, max: 1 }, scheme)).toThrow('range is not finite');
    expect(() => chooseScale({ min: 0, max: Infinity }, scheme)).toThrow('range is not finite');
  });

  test('The symmetric form for weights agrees with the general one.', () => {
    for (const absMax of [0, 1e-45, 1e-30, 0.37, 5, 65504]) {
      const scheme = { dataType: 'int8', symmetric: true } as const;
      expect(chooseSymmetricScale(absMax, 127, 'float32')).toBe(
        chooseScale({ min: -absMax, max: absMax }, scheme).scale,
      );
    }
    expect(chooseSymmetricScale(7, 7, 'float16')).toBe(1);
  });
});

describe('Quantizing', () => {
  test('Integers are those of onnxruntime 1.30, ties included.', () => {
    for (const { dataType, scale, zeroPoint, values, integers } of golden<QuantizeCase[]>(
      'quantize.json',
    )) {
      const range = integerRange({ dataType, symmetric: false });
      const into = createQuantizedArray(dataType, values.length);
      quantize(Float32Array.from(values), { scale, zeroPoint }, range, into);
      expect([...into]).toEqual(integers);
    }
  });

  test('Ties go to even, values beyond the range clamp, NaN takes the lowest integer.', () => {
    const values = Float32Array.of(0.5, 1.5, -0.5, -1.5, 2.5, 1e30, -Infinity, NaN);
    const integers = quantize(
      values,
      { scale: 1, zeroPoint: 0 },
      { min: -127, max: 127 },
      new Int8Array(8),
    );
    expect([...integers]).toEqual([0, 2, 0, -2, 2, 127, -127, -127]);
  });

  test('Within the range an error is at most half a step.', () => {
    const scheme = { dataType: 'uint8', symmetric: false } as const;
    const value = fc.float({ noNaN: true, min: -1000, max: 1000 });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 50 }), (list) => {
        const values = Float32Array.from(list);
        const parameters = chooseScale({ min: Math.min(...list), max: Math.max(...list) }, scheme);
        const reach = representableRange(parameters, scheme);
        const integers = quantize(
          values,
          parameters,
          { min: 0, max: 255 },
          new Uint8Array(values.length),
        );
        dequantize(integers, parameters).forEach((back, index) => {
          const inside = Math.min(Math.max(values[index]!, reach.min), reach.max);
          // A float32 quotient may be off by 2^-24 of up to 255 steps.
          expect(Math.abs(back - inside)).toBeLessThanOrEqual(
            parameters.scale * (0.5 + 255 * 2 ** -23),
          );
        });
      }),
    );
  });

  test('Per axis, each channel has its own scale and the inverse finds it again.', () => {
    const values = Float32Array.of(1, 10, 100, -1, -10, -100);
    const parameters = [1, 10, 100].map((scale) => ({ scale, zeroPoint: 0 }));
    const range = { min: -127, max: 127 };
    const columns = quantizePerAxis(values, [2, 3], 1, parameters, range, new Int8Array(6));
    expect([...columns]).toEqual([1, 1, 1, -1, -1, -1]);
    expect(dequantizePerAxis(columns, [2, 3], 1, parameters)).toEqual(values);
    const rows = quantizePerAxis(
      values,
      [2, 3],
      0,
      parameters.slice(0, 2),
      range,
      new Int8Array(6),
    );
    expect([...rows]).toEqual([1, 10, 100, 0, -1, -10]);
    expect(() => quantizePerAxis(values, [2, 3], 1, [], range, new Int8Array(6))).toThrow(
      'one scale per channel (got 0 for axis 1 of [2,3])',
    );
  });
});
