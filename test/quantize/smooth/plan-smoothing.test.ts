import { describe, expect, it } from 'vitest';
import { EXIT_CODE, UnsupportedError, UsageError } from '../../../src/errors.ts';
import { createWeightKernel } from '../../../src/numerics/weight-kernel.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import {
  parseQuantizationFile,
  quantizationFile,
  serializeQuantizationFile,
} from '../../../src/quantize/quantization-file.ts';
import { chooseScales } from '../../../src/quantize/smooth/choose-scales.ts';
import {
  type ChannelTable,
  planSmoothing,
  smoothedInputs,
  smoothRanges,
} from '../../../src/quantize/smooth/plan-smoothing.ts';
import { decodeScales, encodeScales } from '../../../src/quantize/smooth/planned-smoothing.ts';
import type { SmoothingSite } from '../../../src/quantize/smooth/smoothing-site.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { floats, linearModel, node, ranges } from '../../kit/models.ts';
import { blockModel } from './tiny-blocks.ts';

const kernel = createWeightKernel();
const site: SmoothingSite = {
  name: 'q',
  kind: 'norm',
  into: 'norm',
  layers: [],
  channels: 3,
  folds: [],
};

const half = { purpose: 'activations', alpha: 0.5 } as const;
const whole = { purpose: 'activations', alpha: 1 } as const;

/** A norm of four channels and one layer of 16 outputs, all weights 0.25 but one row of ones. */
function wideModel() {
  const rows = [0.25, 0.25, 1, 0.25];
  return blockModel({
    nodes: [
      node('LayerNormalization', ['x', 'gamma'], 'normed'),
      node('MatMul', ['normed', 'w'], 'y'),
    ],
    initializers: [
      floats('gamma', [4], [1, 1, 1, 1]),
      floats(
        'w',
        [4, 16],
        rows.flatMap((row) => new Array<number>(16).fill(row)),
      ),
    ],
  });
}

const table: ChannelTable = new Map([
  ['normed', { min: Float32Array.of(-16, -1, 0, -1), max: Float32Array.of(4, 1, 64, 0.5) }],
]);

function recipe(text: string) {
  return parseRecipe(`name: mine\n${text}`, 'mine.yaml');
}

describe('chooseScales', () => {
  it('is max|x|^a / max|w|^(1-a) for activations', () => {
    const [x, w] = [Float32Array.of(16, 4, 3), Float32Array.of(0.25, 0.25, 1)];
    // sqrt(16 / 0.25) = 8, sqrt(4 / 0.25) = 4, sqrt(3 / 1).
    expect([...chooseScales(site, x, w, half)]).toEqual([8, 4, Math.fround(Math.sqrt(3))]);
    expect([...chooseScales(site, x, w, whole)]).toEqual([16, 4, 3]);
  });

  it('is max|x|^a for weights', () => {
    const [x, w] = [Float32Array.of(16, 4, 9), Float32Array.of(0.25, 0.5, 1)];
    const strength = { purpose: 'weights', alpha: 0.5 } as const;
    expect([...chooseScales(site, x, w, strength)]).toEqual([4, 2, 3]);
  });

  it('stays within 2^-13 and 2^13', () => {
    const [x, w] = [Float32Array.of(1e6, 1e-6, 1), Float32Array.of(1e-6, 1e6, 1)];
    expect([...chooseScales(site, x, w, half)]).toEqual([2 ** 13, 2 ** -13, 1]);
  });

  it('leaves channels alone that never speak or never are heard', () => {
    const x = Float32Array.of(0, 4, Number.POSITIVE_INFINITY);
    expect([...chooseScales(site, x, Float32Array.of(1, 0, 1), half)]).toEqual([1, 1, 1]);
  });

  it('takes the largest of the channels that share a scale', () => {
    const shared = { ...site, channels: 2, scaleOf: Int32Array.of(0, 1, 0, 1) };
    const [x, w] = [Float32Array.of(1, 2, 4, 1), Float32Array.of(1, 1, 1, 1)];
    expect([...chooseScales(shared, x, w, whole)]).toEqual([4, 2]);
  });
});

describe('planSmoothing', () => {
  it('keeps one scale per channel as float32 in base64, and divides the range by them', async () => {
    const model = wideModel();
    const smoothing = (await planSmoothing(
      model,
      recipe('head: w8a8\nsmoothing: { alpha: 0.5 }'),
      table,
      kernel,
    ))!;
    expect(smoothing.sites).toMatchObject([
      { kind: 'norm', into: 'normed', layers: ['y'], purpose: 'activations', alpha: 0.5 },
    ]);
    expect([...decodeScales(smoothing.sites[0]!.scales)]).toEqual([8, 2, 8, 2]);
    const scales = smoothedInputs(model, smoothing);
    const smoothed = smoothRanges(ranges({ normed: [-16, 64] }), scales, table);
    // -16 / 8 and 64 / 8: what a run of the folded model would have seen.
    expect(smoothed.get('normed')).toEqual({ min: -2, max: 8, calibrator: 'minmax' });
  });

  it('survives quantization.json', async () => {
    const model = linearModel({ op: 'MatMul', rank: 3 });
    const smoothing = { sites: [], declined: [{ node: 'n', reason: 'why' }] };
    const seen = ranges({ x: [-1, 1] });
    const plan = planQuantization(model, recipe(''), seen, smoothing);
    const file = quantizationFile(plan, seen, 'hash');
    expect(parseQuantizationFile(serializeQuantizationFile(file), 'q.json')).toEqual(file);
    expect(file.plan.smoothing).toEqual(smoothing);
  });

  it('ends with exit code 5 when a recipe asks for a strength and nothing folds', async () => {
    const model = linearModel({ op: 'MatMul', rank: 3 });
    const planned = planSmoothing(
      model,
      recipe('head: w8a8\nsmoothing: { alpha: 0.5 }'),
      table,
      kernel,
    );
    await expect(planned).rejects.toThrow(UnsupportedError);
    await expect(planned).rejects.toMatchObject({ exitCode: EXIT_CODE.unsupported });
    await expect(planned).rejects.toThrow(
      /recipe mine asks for it, and no activation of this model can be smoothed/,
    );
  });

  it('does nothing by itself in a model without tokens or gates', async () => {
    expect(await planSmoothing(wideModel(), recipe(''), table, kernel)).toBeUndefined();
    const none = recipe('smoothing: none');
    expect(await planSmoothing(wideModel(), none, table, kernel)).toBeUndefined();
  });

  it('follows the activation alone before INT8 weights whose input stays float', async () => {
    const weightOnly = recipe(
      'activations: { bits: float }\nsmoothing: { alpha: 0, weightOnlyAlpha: 0.5 }',
    );
    const smoothing = await planSmoothing(wideModel(), weightOnly, table, kernel);
    expect(smoothing!.sites).toMatchObject([{ layers: ['y'], purpose: 'weights', alpha: 0.5 }]);
    // Square roots of 16, 1, 64 and 1; the weights have no part in it.
    expect([...decodeScales(smoothing!.sites[0]!.scales)]).toEqual([4, 1, 8, 1]);
  });

  it('does nothing before layers in two planes, which hold any channels', async () => {
    const planes = recipe('head: w8a8x2\nsmoothing: { alpha: 0.5 }');
    await expect(planSmoothing(wideModel(), planes, table, kernel)).rejects.toThrow(
      UnsupportedError,
    );
  });

  it('does nothing before layers that are float', async () => {
    const float = recipe('head: float\nsmoothing: { alpha: 0.5 }');
    await expect(planSmoothing(wideModel(), float, table, kernel)).rejects.toThrow(
      UnsupportedError,
    );
  });

  it('asks to calibrate again when the extremes by channel are missing', async () => {
    const planned = planSmoothing(
      wideModel(),
      recipe('head: w8a8\nsmoothing: { alpha: 0.5 }'),
      new Map(),
      kernel,
    );
    await expect(planned).rejects.toThrow(UsageError);
    await expect(planned).rejects.toThrow(/no extremes by channel of normed/);
  });
});

describe('encodeScales', () => {
  it('writes little-endian float32 and reads it back', () => {
    expect(encodeScales(Float32Array.of(1))).toBe('AACAPw==');
    const scales = Float32Array.of(0.5, 8, 2 ** -13, 1);
    expect(decodeScales(encodeScales(scales))).toEqual(scales);
  });
});
