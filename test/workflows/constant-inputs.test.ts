import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { readCalibration } from '../../src/workflows/stages/calibrate-model.ts';
import { type Float, floats, model, node, noise, value } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { type SmallData, sqnrOfY, writeSmall } from '../kit/small-files.ts';

const WIDTH = 64;
const ROWS = 40;
const samples: SmallData = {
  dims: [4, ROWS, WIDTH],
  values: noise(5, 4 * ROWS * WIDTH),
};

/**
 * A table of positions goes through a layer and is added to what another layer makes of the input. As
 * float16 it is longer than what the float32 twin widens, so that the twin reads it through a Cast.
 */
function positions(float: Float, behind?: 'Unsqueeze' | 'Tanh'): Model {
  const matrix = (name: string, rows: number) =>
    floats(name, [rows, WIDTH], noise(name.length + rows, rows * WIDTH), float);
  const inputs = behind === 'Unsqueeze' ? ['table', 'axes'] : ['table'];
  return model({
    nodes: [
      ...(behind === undefined ? [] : [node(behind, inputs, 'rows')]),
      node('MatMul', [behind === undefined ? 'table' : 'rows', 'projection'], 'projected'),
      node('MatMul', ['x', 'weight'], 'product'),
      node('Add', ['product', 'projected'], 'sum'),
      node('MatMul', ['sum', 'out'], 'y'),
    ],
    initializers: [
      matrix('table', ROWS),
      matrix('projection', WIDTH),
      matrix('weight', WIDTH),
      matrix('out', WIDTH),
      inlineTensor('axes', 'int64', [1], new Uint8Array(8)),
    ],
    inputs: [value('x', float, ['n', ROWS, WIDTH])],
    outputs: [value('y', float, ['n', ROWS, WIDTH])],
  });
}

/** Weights and activations of 8 bits have some 40 dB on such sums, weights of 4 bits some 20. */
const ENOUGH = { w8a8: 34, 'w8a8-dynamic': 34, w8a16: 34, 'w4a16-g32': 14 } as const;

describe('A layer whose input is a constant', () => {
  it.each([
    ...(['w8a8', 'w8a8-dynamic', 'w8a16', 'w4a16-g32'] as const).map(
      (recipe) => [recipe, 'float16', undefined] as const,
    ),
    ['w8a8', 'float32', undefined] as const,
    ['w8a8', 'float32', 'Unsqueeze'] as const,
    ['w8a8', 'float16', 'Tanh'] as const,
  ])(
    'is no obstacle to %s (%s, behind %s), and all layers fuse.',
    async (recipe, float, behind) => {
      const source = positions(float, behind);
      const files = await writeSmall(source, samples);
      const output = join(files.folder, 'out');
      const { plan, fusion } = await quantize({ ...files, recipe, output }, listeningReporter());
      const isInteger = recipe.startsWith('w8a8');
      const scheme = recipe.replace('-g32', '');
      expect(plan.layers.map((layer) => [layer.scheme, layer.reason])).toEqual([
        isInteger ? ['w8a16', 'its input is a constant'] : [scheme, undefined],
        [scheme, undefined],
        ['w8a16', recipe === 'w8a16' ? undefined : 'head'],
      ]);
      expect(fusion?.unfused).toEqual([]);
      expect(await sqnrOfY(output, source, samples)).toBeGreaterThan(ENOUGH[recipe]);
    },
  );

  it('has the range of that constant in the calibration.', async () => {
    const files = await writeSmall(positions('float32'), samples);
    const output = join(files.folder, 'out');
    await quantize({ ...files, output }, listeningReporter());
    const { tensors } = await readCalibration(join(output, 'calibration.json'));
    const table = noise('table'.length + ROWS, ROWS * WIDTH);
    expect(tensors.get('table')).toMatchObject({
      min: Math.min(...table),
      max: Math.max(...table),
      count: 4 * table.length,
    });
  });
});
