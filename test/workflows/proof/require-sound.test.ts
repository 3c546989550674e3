import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelOnDisk } from '../../../src/artifact/model-on-disk.ts';
import { FormatError } from '../../../src/errors.ts';
import type { DataType } from '../../../src/ir/data-type.ts';
import type { Model } from '../../../src/ir/model.ts';
import { inferFacts } from '../../../src/passes/infer-facts.ts';
import { openModel } from '../../../src/storage/model-file.ts';
import { calibrate } from '../../../src/workflows/calibrate.ts';
import { exportModel } from '../../../src/workflows/export.ts';
import { requireSound } from '../../../src/workflows/proof/require-sound.ts';
import { prune } from '../../../src/workflows/prune.ts';
import { quantize } from '../../../src/workflows/quantize.ts';
import { floats, model, node, noise, value } from '../../kit/models.ts';
import { root } from '../../kit/paths.ts';
import { listeningReporter } from '../../kit/reporters.ts';
import { writeSmall } from '../../kit/small-files.ts';

const WIDTH = 32;
const SAMPLES = { dims: [8, WIDTH], values: noise(3, 8 * WIDTH) };

/** Two products around a Relu, all of float32, whatever types are declared. */
function declaring(types: { readonly output?: DataType; readonly middle?: DataType }): Model {
  const weight = (name: string, seed: number) =>
    floats(name, [WIDTH, WIDTH], noise(seed, WIDTH * WIDTH));
  const built = model({
    nodes: [
      node('MatMul', ['x', 'w1'], 'h'),
      node('Relu', ['h'], 'r'),
      node('MatMul', ['r', 'w2'], 'y'),
    ],
    initializers: [weight('w1', 1), weight('w2', 2)],
    inputs: [value('x', 'float32', ['n', WIDTH])],
    outputs: [value('y', types.output ?? 'float32', ['n', WIDTH])],
  });
  const middle = value('r', types.middle ?? 'float32', ['n', WIDTH]);
  return { ...built, graph: { ...built.graph, valueInfo: new Map([['r', middle]]) } };
}

describe('a file whose declared element types contradict its operators', () => {
  it.each([
    ['an output', { output: 'float16' } as const, '"y" is declared float16 and MatMul "/y/MatMul"'],
    ['a value', { middle: 'float16' } as const, '"r" is declared float16 and Relu "/r/Relu"'],
  ])('is refused by every verb before the first sample: %s', async (_, types, where) => {
    const { model: path, data, folder } = await writeSmall(declaring(types), SAMPLES);
    const output = join(folder, 'out');
    const reporter = listeningReporter();
    const verbs = [
      () => calibrate({ model: path, data, output, tables: [] }, reporter),
      () => quantize({ model: path, data, output }, reporter),
      () => quantize({ model: path, recipe: 'w8a16', output }, reporter),
      () => quantize({ model: path, dryRun: true }, reporter),
      () => exportModel({ model: path, target: 'tensorrt', data, output }, reporter),
      () => prune({ model: path, output }, reporter),
    ];
    for (const verb of verbs) {
      const error = await verb().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(FormatError);
      expect((error as Error).message).toBe(
        `${path}: onnxruntime cannot load it, because ${where} makes float32. ` +
          'Export it again, or mend the declaration.',
      );
    }
  });

  it('is let through when onnxruntime loads it all the same', async () => {
    const { model: path } = await writeSmall(declaring({}), SAMPLES);
    const source = await openModelOnDisk(path);
    const contradicting = declaring({ middle: 'float16' });
    await expect(requireSound({ ...source, model: contradicting })).resolves.toBeUndefined();
  });
});

describe('type contradictions', () => {
  const exports = readdirSync(join(root, 'fixtures'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.onnx'))
    .sort();

  it.each(exports)('are not seen where there are none: %s', async (name) => {
    const opened = await openModel(join(root, 'fixtures', name));
    expect(inferFacts(opened).contradictions).toEqual([]);
  });
});
