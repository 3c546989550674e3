import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readTensorBytes, type Tensor } from '../../../src/ir/tensor.ts';
import { chooseSymmetricScale, roundHalfToEven } from '../../../src/numerics/affine.ts';
import {
  float16ToFloat32,
  float32ToFloat16,
  roundToFloat16,
} from '../../../src/numerics/float16.ts';
import { createWeightKernel } from '../../../src/numerics/weight-kernel.ts';
import {
  quantizeWeight,
  scaleSource,
  transposedSource,
  type WeightGrid,
} from '../../../src/quantize/weights/quantized-weight.ts';
import { floats } from '../../kit/models.ts';

const kernel = createWeightKernel();
const FULL: WeightGrid = { scaleType: 'float32', isPairSafe: false };
const FULL_FLOAT16: WeightGrid = { scaleType: 'float16', isPairSafe: false };
const PAIR_SAFE: WeightGrid = { scaleType: 'float32', isPairSafe: true };

async function bytesOf(source: Tensor['source']): Promise<Uint8Array> {
  return readTensorBytes({ name: '', dataType: 'int8', dims: [], source });
}

/** The formula of the numbers law, one value at a time. */
function reference(
  values: Float32Array,
  columns: number,
  axis: number,
  scales: Float32Array,
): number[] {
  return [...values].map((x, index) => {
    const scale = scales[axis === 0 ? Math.floor(index / columns) : index % columns]!;
    return Math.max(-127, Math.min(127, roundHalfToEven(Math.fround(x / scale)))) + 0;
  });
}

describe('quantizeWeight', () => {
  const matrices = fc
    .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
    .chain(([rows, columns]) =>
      fc.record({
        rows: fc.constant(rows),
        columns: fc.constant(columns),
        axis: fc.constantFrom(0, 1),
        scaleType: fc.constantFrom('float32' as const, 'float16' as const),
        values: fc.array(fc.float({ min: -60000, max: 60000, noNaN: true }), {
          minLength: rows * columns,
          maxLength: rows * columns,
        }),
      }),
    );

  it('is the formula of the numbers law, with scales rounded before they are used', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, async ({ rows, columns, axis, scaleType, values }) => {
        const tensor = floats('w', [rows, columns], values, 'float16');
        const exact = Float32Array.from(values, (x) => float16ToFloat32(float32ToFloat16(x)));
        const weight = quantizeWeight(tensor, axis, { scaleType, isPairSafe: false }, kernel);
        const scales = await weight.scales();
        const maxima = new Float32Array(axis === 0 ? rows : columns);
        exact.forEach((x, index) => {
          const channel = axis === 0 ? Math.floor(index / columns) : index % columns;
          maxima[channel] = Math.max(maxima[channel]!, Math.abs(x));
        });
        expect(scales).toEqual(maxima.map((amax) => chooseSymmetricScale(amax, 127, scaleType)));
        if (scaleType === 'float16') expect(scales).toEqual(scales.map(roundToFloat16));
        const integers = [...new Int8Array((await bytesOf(weight.values)).buffer)];
        expect(integers).toEqual(reference(exact, columns, axis, scales));
        expect(scales.every((scale) => scale >= 2 ** -126 && Number.isFinite(scale))).toBe(true);
      }),
    );
  });

  it('raises FP16 scales of tiny channels to 51 * 2^-24', async () => {
    const weight = quantizeWeight(floats('w', [1, 2], [1e-4, -5e-5]), 0, FULL_FLOAT16, kernel);
    expect([...(await weight.scales())]).toEqual([51 * 2 ** -24]);
    const stored = new Uint16Array((await bytesOf(scaleSource(weight, 'float16'))).buffer);
    expect([...stored]).toEqual([51]);
    // 1e-4 / 3.04e-6 = 32.9 and -5e-5 / 3.04e-6 = -16.4.
    expect([...new Int8Array((await bytesOf(weight.values)).buffer)]).toEqual([33, -16]);
  });

  it('reads the float weight once for its scales, whoever asks first', async () => {
    const tensor = floats('w', [2, 2], [1, 2, 3, 4]);
    let reads = 0;
    const counted: Tensor = {
      ...tensor,
      source: {
        byteLength: tensor.source.byteLength,
        read: (into, offset) => {
          reads++;
          return tensor.source.read(into, offset);
        },
      },
    };
    const weight = quantizeWeight(counted, 0, FULL, kernel);
    expect(reads).toBe(0);
    await Promise.all([weight.scales(), bytesOf(scaleSource(weight, 'float32')), weight.scales()]);
    expect(reads).toBe(1);
    await bytesOf(weight.values);
    expect(reads).toBe(2);
  });

  it('gives the same bytes whichever range is read', async () => {
    const tensor = floats(
      'w',
      [3, 5],
      Array.from({ length: 15 }, (_, index) => index - 7),
    );
    const weight = quantizeWeight(tensor, 1, FULL, kernel);
    const whole = await bytesOf(weight.values);
    for (let from = 0; from < 15; from++) {
      const part = new Uint8Array(15 - from);
      await weight.values.read(part, from);
      expect(part).toEqual(whole.subarray(from));
    }
  });

  it('widens bfloat16 weights', async () => {
    // 0x3f80 is 1, 0xc000 is -2 in bfloat16.
    const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0xc000).buffer);
    const tensor: Tensor = { ...floats('w', [1, 2], [0, 0]), dataType: 'bfloat16' };
    const source = {
      byteLength: 4,
      read: async (into: Uint8Array, offset: number) =>
        into.set(bytes.subarray(offset, offset + into.length)),
    };
    const weight = quantizeWeight({ ...tensor, source }, 0, FULL, kernel);
    expect([...(await weight.scales())]).toEqual([Math.fround(2 / 127)]);
    expect([...new Int8Array((await bytesOf(weight.values)).buffer)]).toEqual([64, -127]);
  });
});

/** The greatest |q[2k] + q[2k+1]| along the inputs of a channel, and the greatest |q|. */
function worstPairs(
  integers: Int8Array,
  [rows, columns]: readonly [number, number],
  axis: number,
): { readonly pair: number; readonly single: number } {
  const at = (channel: number, input: number): number =>
    integers[axis === 0 ? channel * columns + input : input * columns + channel]!;
  const [channels, inputs] = axis === 0 ? [rows, columns] : [columns, rows];
  let pair = 0;
  let single = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let input = 0; input < inputs; input++) {
      single = Math.max(single, Math.abs(at(channel, input)));
      if (input % 2 === 1 || input + 1 === inputs) continue;
      pair = Math.max(pair, Math.abs(at(channel, input) + at(channel, input + 1)));
    }
  }
  return { pair, single };
}

describe('quantizeWeight, pair-safe', () => {
  const anyFloat = fc.float({ noNaN: true, noDefaultInfinity: true });
  /** Values whose quotients lie on, or an ulp beside, the halves at which rounding could break the bound. */
  const nearHalves = fc
    .tuple(fc.integer({ min: 0, max: 127 }), fc.float({ min: 1, max: 2, noNaN: true }))
    .map(([half, scale]) => (half + 0.5) * scale);
  const values = fc.oneof(anyFloat, nearHalves, fc.constantFrom(0, 1, -1, 3.4e38, -3.4e38, 1e-45));
  const matrices = fc.record({
    dims: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
    axis: fc.constantFrom(0, 1),
    dataType: fc.constantFrom('float32' as const, 'float16' as const),
    values: fc.array(values, { minLength: 81, maxLength: 81 }),
  });

  it('never lets a pair of neighbouring inputs of one sign pass 128, nor a weight -127..127', async () => {
    await fc.assert(
      fc.asyncProperty(matrices, async ({ dims, axis, dataType, values: all }) => {
        const limit = dataType === 'float16' ? 65504 : Infinity;
        const finite = all.slice(0, dims[0] * dims[1]).map((x) => (Math.abs(x) > limit ? 1 : x));
        const weight = quantizeWeight(floats('w', dims, finite, dataType), axis, PAIR_SAFE, kernel);
        const integers = new Int8Array((await bytesOf(weight.values)).buffer);
        const { pair, single } = worstPairs(integers, dims, axis);
        expect(pair).toBeLessThanOrEqual(128);
        expect(single).toBeLessThanOrEqual(127);
        for (const scale of await weight.scales()) {
          expect(Number.isFinite(scale) && scale >= 2 ** -126).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps 128 where two halves meet: for a sum of 128 scales each half to even rounds one down', async () => {
    // 64.5 + 63.5 = 128 at scale 1; the widest weight alone would allow 64.5 / 127.
    const weight = quantizeWeight(floats('w', [1, 2], [64.5, 63.5]), 0, PAIR_SAFE, kernel);
    const [scale] = await weight.scales();
    expect(scale).toBe(Math.fround(1 + 2 ** -23));
    expect([...new Int8Array((await bytesOf(weight.values)).buffer)]).toEqual([64, 63]);
  });

  it('leaves a channel whose pairs are safe already as onnxruntime quantizes it', async () => {
    const tensor = floats('w', [1, 4], [2, -1.9, 0.01, -1]);
    const safe = quantizeWeight(tensor, 0, PAIR_SAFE, kernel);
    const full = quantizeWeight(tensor, 0, FULL, kernel);
    expect(await safe.scales()).toEqual(await full.scales());
    expect(await bytesOf(safe.values)).toEqual(await bytesOf(full.values));
  });

  it('pairs the inputs across the blocks in which a large weight is read', async () => {
    // Three columns of 8 MiB and more are read in several blocks; the pair stands in the middle of all rows.
    const rows = 2_100_001;
    const values = new Float32Array(rows * 3);
    values.set([1, 0, 0, 1, 0, 0], 3 * 1_000_000);
    const weight = quantizeWeight(floats('w', [rows, 3], values), 1, PAIR_SAFE, kernel);
    expect([...(await weight.scales())]).toEqual([Math.fround(2 / 128 + 2 ** -29), 1, 1]);
  });
});

describe('transposedSource', () => {
  it('swaps rows and columns, and back', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 7 }),
        async (rows, columns) => {
          const bytes = Uint8Array.from({ length: rows * columns }, (_, index) => index);
          const source = {
            byteLength: bytes.length,
            read: async (into: Uint8Array, offset: number) =>
              into.set(bytes.subarray(offset, offset + into.length)),
          };
          const turned = transposedSource(source, rows, columns);
          const once = await bytesOf(turned);
          expect(once[(columns - 1) * rows]).toBe(columns - 1);
          expect(await bytesOf(transposedSource(turned, columns, rows))).toEqual(bytes);
        },
      ),
    );
  });
});
