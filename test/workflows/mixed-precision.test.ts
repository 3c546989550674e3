import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { type SmallData, sqnrOfY, writeSmall } from '../kit/small-files.ts';

const WIDTH = 32;
const FLOAT = 1n;
const FLOAT16 = 10n;
const samples: SmallData = { dims: [4, 6, WIDTH], values: noise(11, 4 * 6 * WIDTH) };

/**
 * float16 products with a Tanh between that was kept in float32, as converters leave it with a list of
 * blocked operators: the second and third read what a Cast gives, one of them through a Relu.
 */
function mixed(): Model {
  const matrix = (name: string) =>
    floats(name, [WIDTH, WIDTH], noise(name.length, WIDTH * WIDTH), 'float16');
  return model({
    nodes: [
      node('MatMul', ['x', 'one'], 'a'),
      node('Cast', ['a'], 'wide', { to: FLOAT }),
      node('Tanh', ['wide'], 'squashed'),
      node('Cast', ['squashed'], 'narrow', { to: FLOAT16 }),
      node('Cast', ['squashed'], 'narrow_too', { to: FLOAT16 }),
      node('MatMul', ['narrow', 'second'], 'b'),
      node('MatMul', ['narrow_too', 'third'], 'c'),
      node('Mul', ['b', 'c'], 'met'),
      node('MatMul', ['met', 'last___'], 'y'),
    ],
    initializers: ['one', 'second', 'third', 'last___'].map(matrix),
    inputs: [value('x', 'float16', ['n', 's', WIDTH])],
    outputs: [value('y', 'float16', ['n', 's', WIDTH])],
  });
}

describe('A float16 model with float32 islands', () => {
  it('has INT8 activations behind Casts, whose ranges the float32 twin has under other names.', async () => {
    const source = mixed();
    const files = await writeSmall(source, samples);
    const output = join(files.folder, 'out');
    const { plan, fusion } = await quantize({ ...files, output }, listeningReporter());
    const inputs = plan.layers.map(({ activation }) => activation?.tensor);
    expect(inputs).toEqual(['x', 'narrow', 'narrow_too', undefined]);
    const [, narrow, other] = plan.layers.map(({ activation }) => activation);
    expect(narrow).toMatchObject({ min: other!.min, max: other!.max });
    // Tanh of sums that reach several units fills -1..1.
    expect(narrow!.min).toBeLessThan(-0.9);
    expect(narrow!.min).toBeGreaterThanOrEqual(-1);
    expect(fusion?.unfused).toEqual([]);
    // 8 bits of activations and weights twice in a row, and a product of two such.
    expect(await sqnrOfY(output, source, samples)).toBeGreaterThan(30);
  });
});
