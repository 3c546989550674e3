import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { renderCalibration } from '../../src/report/calibration.ts';
import { renderQuantization } from '../../src/report/quantization.ts';
import { calibrate } from '../../src/workflows/calibrate.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { type SmallData, sqnrOfY, writeSmall } from '../kit/small-files.ts';

const WIDTH = 32;
const ROWS = 24;
const SAMPLES = 8;

function matrix(name: string) {
  return floats(name, [WIDTH, WIDTH], noise(name.length + 7, WIDTH * WIDTH));
}

function sampleData(sizeOf: (sample: number, row: number) => number): SmallData {
  const values = noise(9, SAMPLES * ROWS * WIDTH).map((even, index) => {
    const row = Math.floor(index / WIDTH);
    return even * sizeOf(Math.floor(row / ROWS), row % ROWS);
  });
  return { dims: [SAMPLES, ROWS, WIDTH], values };
}

const ordinary = sampleData(() => 1);

/** The rows of x that begin with more than 50, two layers of them alone, and their mean beside a third layer. */
function rareRows() {
  return model({
    nodes: [
      node('MatMul', ['x', 'always'], 'a'),
      node('Slice', ['x', 'zero', 'one', 'two'], 'first'),
      node('Reshape', ['first', 'flat'], 'firsts'),
      node('Greater', ['firsts', 'limit'], 'chosen'),
      node('Reshape', ['x', 'rows'], 'flattened'),
      node('Compress', ['flattened', 'chosen'], 'rare', { axis: 0n }),
      node('MatMul', ['rare', 'idle'], 'b'),
      node('Relu', ['b'], 'c'),
      node('MatMul', ['c', 'idle_too'], 'd'),
      node('ReduceSum', ['d'], 'sum', { keepdims: 0n }),
      node('Mul', ['sum', 'hundredth'], 'share'),
      node('Add', ['a', 'share'], 'both'),
      node('Tanh', ['both'], 'y'),
    ],
    initializers: [
      ...['always', 'idle', 'idle_too'].map(matrix),
      ...(['zero', 'one', 'two'] as const).map((name, index) => int64(name, [index])),
      int64('flat', [-1]),
      int64('rows', [-1, WIDTH]),
      floats('limit', [], [50]),
      floats('hundredth', [], [0.0001]),
    ],
    inputs: [value('x', 'float32', ['n', ROWS, WIDTH])],
    outputs: [value('y', 'float32', ['n', ROWS, WIDTH])],
  });
}

function int64(name: string, values: readonly number[]) {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return inlineTensor(name, 'int64', [values.length], bytes);
}

/** Two layers behind a ReLU that opens for values above 1 alone, beside one that is always read. */
function deadGate() {
  return model({
    nodes: [
      node('Mul', ['x', 'fifty'], 'fast'),
      node('Cos', ['fast'], 'wave'),
      node('MatMul', ['wave', 'always'], 'a'),
      node('Sub', ['x', 'limit'], 'low'),
      node('Relu', ['low'], 'gated'),
      node('MatMul', ['gated', 'idle'], 'b'),
      node('MatMul', ['gated', 'idle_too'], 'c'),
      node('Mul', ['b', 'c'], 'd'),
      node('Add', ['a', 'd'], 'both'),
      node('Tanh', ['both'], 'y'),
    ],
    initializers: [
      ...['always', 'idle', 'idle_too'].map(matrix),
      floats('fifty', [], [50]),
      floats('limit', [], [1]),
    ],
    inputs: [value('x', 'float32', ['n', ROWS, WIDTH])],
    outputs: [value('y', 'float32', ['n', ROWS, WIDTH])],
  });
}

const NEVER = 'calibration never reached it';

describe('Layers that no calibration sample reaches', () => {
  it.each([
    ['without a single row', rareRows()],
    ['with zeros alone', deadGate()],
  ])('have INT8 weights alone (%s), with a warning by name, and no range.', async (_, source) => {
    const files = await writeSmall(source, ordinary);
    const output = join(files.folder, 'out');
    const result = await quantize({ ...files, output }, listeningReporter());
    const [always, ...idle] = result.plan.layers;
    expect(always?.scheme).toBe('w8a8');
    expect(idle.map(({ scheme, reason }) => [scheme, reason])).toEqual([
      ['w8a16', NEVER],
      ['w8a16', NEVER],
    ]);
    const names = idle.map(({ name }) => name).join(', ');
    const warning = `${names}: ${NEVER}, so the weight alone is quantized.`;
    expect(result.warnings).toEqual([warning]);
    expect(result.manifest?.notes).toContain(warning);
    expect(renderQuantization(result).trimEnd().split('\n').at(-1)).toContain(warning);
  });

  it('still give what the model gives when a sample reaches them after all.', async () => {
    const source = deadGate();
    const files = await writeSmall(source, ordinary);
    const output = join(files.folder, 'out');
    await quantize({ ...files, output }, listeningReporter());
    // With the scale of 1 that a range of 0..0 has, what comes through would be rounded to 0 or 1.
    const open = { ...ordinary, values: ordinary.values.map((even) => 2 * even) };
    expect(await sqnrOfY(output, source, open)).toBeGreaterThan(25);
  });

  it.each(['gptq', 'mse'])('are rounded to nearest where 4 bits go by %s.', async (rounding) => {
    const files = await writeSmall(rareRows(), ordinary);
    const recipe = join(files.folder, 'recipe.yaml');
    writeFileSync(
      recipe,
      `{ name: four, weights: { bits: 4, granularity: block, blockSize: 32, rounding: ${rounding} }, activations: { bits: float } }`,
    );
    const output = join(files.folder, 'out');
    const { plan, warnings } = await quantize({ ...files, recipe, output }, listeningReporter());
    const reasons = plan.layers.map(({ scheme, reason }) => [scheme, reason]);
    expect(reasons.filter(([scheme]) => scheme === 'w4a16')).toContainEqual(['w4a16', NEVER]);
    expect(warnings.join()).toMatch(/calibration never reached it, so the weight is rounded/);
    expect(await sqnrOfY(output, rareRows(), ordinary)).toBeGreaterThan(10);
  });

  it('have neither a range of infinities nor a scale in what calibrate prints and writes.', async () => {
    const files = await writeSmall(rareRows(), ordinary);
    const output = join(files.folder, 'out');
    const result = await calibrate({ ...files, output, tables: ['trt'] }, listeningReporter());
    expect(result.tensors.find(({ name }) => name === 'rare')).toEqual({
      name: 'rare',
      count: 0,
      min: null,
      max: null,
      int8Scale: null,
      uint8Scale: null,
      uint8ZeroPoint: null,
      method: null,
    });
    const text = renderCalibration(result);
    expect(text).not.toMatch('Infinity');
    expect(text).toMatch(/Warning {2}c, rare: the samples never reached it, or left it at zero\.$/);
    expect(readFileSync(join(output, 'calibration.cache'), 'utf8')).not.toMatch(/^rare:/m);
  });
});

/** Two layers over the input as it is. */
function plain() {
  return model({
    nodes: [
      node('MatMul', ['x', 'mix'], 'a'),
      node('Abs', ['a'], 'b'),
      node('MatMul', ['b', 'mix_too'], 'c'),
      node('Neg', ['c'], 'y'),
    ],
    initializers: ['mix', 'mix_too'].map(matrix),
    inputs: [value('x', 'float32', ['n', ROWS, WIDTH])],
    outputs: [value('y', 'float32', ['n', ROWS, WIDTH])],
  });
}

/** Power spectra: frames from 1 to 10^7, most of them quiet, in every sample. */
const loudFrames = sampleData((_, row) => (row % 8 === 0 ? 1e7 : 10 ** (row % 4)));
/** One sample is loud, and all of it. */
const loudSample = sampleData((sample) => (sample === 0 ? 1e5 : 1));
/** Power spectra of speech: every frame has its energy in the lowest of 32 bins. */
const steepSpectra = {
  ...ordinary,
  values: ordinary.values.map((even, index) => even ** 2 * 10 ** (-(index % WIDTH) / 4)),
};
/** Heavy tails inside every row, as products of two halves of an FFN have. */
const heavyTails = (() => {
  const values = ordinary.values.map((even, index) => even ** 3 * (index % 11 === 0 ? 20 : 1));
  return { ...ordinary, values };
})();

describe('Activations most of which 8 bits would lose', () => {
  it.each([
    ['w8a8', loudFrames, true],
    ['w8a8', loudSample, true],
    ['w8a8', steepSpectra, true],
    ['w8a8', heavyTails, false],
    ['w8a8', ordinary, false],
    ['w8a8-dynamic', loudFrames, true],
    ['w8a8-dynamic', loudSample, false],
    ['w8a8-dynamic', steepSpectra, true],
    ['w8a8-dynamic', heavyTails, false],
  ] as const)('stay float, and others do not (%s %#).', async (recipe, data, isLost) => {
    const files = await writeSmall(plain(), data);
    const output = join(files.folder, 'out');
    const { plan, warnings } = await quantize({ ...files, recipe, output }, listeningReporter());
    const [first] = plan.layers;
    expect(first?.scheme).toBe(isLost ? 'w8a16' : recipe);
    expect(first?.reason ?? '').toMatch(
      isLost ? /^INT8 would lose most (rows|channels) .*\(\d dB\)$/ : /^$/,
    );
    expect(warnings).toHaveLength(isLost ? 1 : 0);
  });

  it('leave the quiet rows of an artifact as good as the loud ones.', async () => {
    const source = plain();
    const files = await writeSmall(source, loudFrames);
    const output = join(files.folder, 'out');
    await quantize({ ...files, output }, listeningReporter());
    // Rows of 1, where calibration has seen 10^7.
    const quiet = { dims: [1, ROWS, WIDTH], values: ordinary.values.slice(0, ROWS * WIDTH) };
    expect(await sqnrOfY(output, source, quiet)).toBeGreaterThan(30);
  });

  it('are known to a dynamic recipe that smooths nothing, where data are given.', async () => {
    const files = await writeSmall(plain(), loudFrames);
    const recipe = join(files.folder, 'recipe.yaml');
    writeFileSync(recipe, '{ name: raw, activations: { dynamic: true }, smoothing: none }');
    const run = (more: { readonly data?: string }, output: string) =>
      quantize(
        { model: files.model, recipe, output: join(files.folder, output), ...more },
        listeningReporter(),
      );
    const known = await run({ data: files.data }, 'known');
    expect(known.plan.layers[0]?.scheme).toBe('w8a16');
    const unknown = await run({}, 'unknown');
    expect(unknown.plan.layers[0]?.scheme).toBe('w8a8-dynamic');
  });
});
