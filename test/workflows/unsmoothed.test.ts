import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { type SmallData, sqnrOfY, writeSmall } from '../kit/small-files.ts';

const WIDTH = 32;
const samples: SmallData = { dims: [6, 5, WIDTH], values: noise(3, 6 * 5 * WIDTH) };

/** Two towers of one layer each, as recommenders have: no norm, no token, no gate. */
function towers(): Model {
  const matrix = (name: string) => floats(name, [WIDTH, WIDTH], noise(name.length, WIDTH * WIDTH));
  return model({
    nodes: [
      node('MatMul', ['x', 'user'], 'a'),
      node('MatMul', ['x', 'item_'], 'b'),
      node('Tanh', ['a'], 'squashed'),
      node('Mul', ['squashed', 'b'], 'met'),
      node('MatMul', ['met', 'top__'], 'y'),
    ],
    initializers: [matrix('user'), matrix('item_'), matrix('top__')],
    inputs: [value('x', 'float32', ['n', 's', WIDTH])],
    outputs: [value('y', 'float32', ['n', 's', WIDTH])],
  });
}

describe('A model in which nothing can be smoothed', () => {
  it.each(['w8a8-full', 'w8a8-dynamic'])('is quantized by %s, which says so.', async (recipe) => {
    const source = towers();
    const files = await writeSmall(source, samples);
    const output = join(files.folder, 'out');
    const reporter = listeningReporter();
    const { plan } = await quantize({ ...files, recipe, output }, reporter);
    const isFull = recipe === 'w8a8-full';
    const [scheme, head] = isFull ? ['w8a8', 'w8a8x2'] : [recipe, 'w8a16'];
    expect(plan.layers.map((layer) => layer.scheme)).toEqual([scheme, scheme, head]);
    expect(plan.smoothing).toBeUndefined();
    expect(reporter.notes.join()).toMatch(`recipe ${recipe}: no activation was smoothed`);
    // Values and weights are even: 8 bits of either leave some 40 dB.
    expect(await sqnrOfY(output, source, samples)).toBeGreaterThan(34);
  });
});
