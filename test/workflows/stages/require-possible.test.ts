import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ExportOutcome } from '../../../src/artifact/results.ts';
import { UnsupportedError, UsageError } from '../../../src/errors.ts';
import type { Model } from '../../../src/ir/model.ts';
import { inlineTensor } from '../../../src/ir/tensor.ts';
import { saveModel } from '../../../src/storage/model-file.ts';
import { exportModel } from '../../../src/workflows/export.ts';
import { quantize } from '../../../src/workflows/quantize.ts';
import { runPipeline } from '../../../src/workflows/run.ts';
import { IN, linearModel, model, node, noise, value } from '../../kit/models.ts';
import { npy } from '../../kit/numpy-files.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';

/** A model on disk, data for it, and what was reported of samples that were run. */
async function workplace(of: Model) {
  const folder = temporaryFolder();
  const source = join(folder, 'model.onnx');
  await saveModel(of, source);
  const data = join(folder, 'x.npy');
  writeFileSync(data, npy('<f4', [10, 3, IN], noise(5, 30 * IN)));
  const tasks: string[] = [];
  const notes: string[] = [];
  const reporter = {
    progress: ({ task }: { readonly task: string }) => void tasks.push(task),
    note: (text: string) => void notes.push(text),
    warn() {},
  };
  return {
    folder,
    data,
    tasks,
    notes,
    reporter,
    request: { model: source, data },
    output: join(folder, 'q'),
  };
}

type Workplace = Awaited<ReturnType<typeof workplace>>;

/** Expects a refusal that nothing was run or written for. */
async function expectEarly(
  { tasks, output }: Workplace,
  refused: Promise<unknown>,
  kind: typeof UsageError | typeof UnsupportedError,
  message: RegExp,
): Promise<void> {
  await expect(refused).rejects.toThrow(message);
  await expect(refused).rejects.toThrow(kind);
  expect(tasks).toEqual([]);
  expect(existsSync(output)).toBe(false);
}

const OLD = linearModel({ op: 'MatMul', rank: 3, opset: 9 });
const MLP = linearModel({ op: 'MatMul', rank: 3 });

function float64Model(): Model {
  const bytes = new Uint8Array(Float64Array.from(noise(1, IN * 32)).buffer);
  return model({
    nodes: [node('MatMul', ['x', 'w'], 'y')],
    initializers: [inlineTensor('w', 'float64', [IN, 32], bytes)],
    inputs: [value('x', 'float64', ['n', 's', IN])],
    outputs: [value('y', 'float64', ['n', 's', 32])],
  });
}

describe('quantize refuses before the first sample', () => {
  it.each([
    ['an opset that cannot be raised', OLD, /opset 9/],
    ['an element type without integer forms', float64Model(), /float64/],
  ])('%s', async (_, of, message) => {
    const place = await workplace(of);
    const { request, output, reporter } = place;
    const refused = quantize({ ...request, output, recipe: 'w8a8' }, reporter);
    await expectEarly(place, refused, UnsupportedError, message);
  });

  it.each([false, true])('float16 activations of a float32 model, dry run: %s', async (dryRun) => {
    const place = await workplace(MLP);
    const { request, output, reporter } = place;
    const recipe = join(place.folder, 'all.yaml');
    writeFileSync(recipe, '{ name: all, head: w8a8 }');
    const options = { ...request, output, recipe, activations: 'float16', dryRun } as const;
    const refused = quantize(options, reporter);
    await expectEarly(
      place,
      refused,
      UnsupportedError,
      /float16 activations are kept.*got float32/,
    );
  });

  it('smoothing that a recipe demands of a model without a place for it', async () => {
    const place = await workplace(MLP);
    const { request, output, reporter, folder } = place;
    const recipe = join(folder, 'smooth.yaml');
    writeFileSync(recipe, 'name: smooth\nhead: w8a8\nsmoothing: { alpha: 0.5 }\n');
    const refused = quantize({ ...request, output, recipe }, reporter);
    await expectEarly(place, refused, UnsupportedError, /^smoothing: recipe smooth asks for it/);
  });

  it('a budget on a model without logits', async () => {
    const place = await workplace(MLP);
    const { request, output, reporter } = place;
    const refused = quantize({ ...request, output, maxKl: 0.1 }, reporter);
    await expectEarly(place, refused, UsageError, /no logits to compare/);
  });

  it('a file that is in the way', async () => {
    const place = await workplace(MLP);
    const { request, folder, reporter, tasks } = place;
    const output = join(folder, 'taken');
    await quantize({ ...request, output, recipe: 'w8a16' }, reporter);
    tasks.length = 0;
    await expect(quantize({ ...request, output, recipe: 'w8a8' }, reporter)).rejects.toThrow(
      /already exists/,
    );
    expect(tasks).toEqual([]);
  });
});

describe('export refuses before the first sample', () => {
  it.each([
    ['what TensorRT has no form for', { recipe: 'w8a16' }, UnsupportedError, /^tensorrt: /],
    ['a shape of an input that there is not', { shape: ['y:1x2'] }, UsageError, /^--shape: /],
  ])('%s', async (_, options, kind, message) => {
    const place = await workplace(MLP);
    const { request, output, reporter } = place;
    const refused = exportModel({ ...request, output, target: 'tensorrt', ...options }, reporter);
    await expectEarly(place, refused, kind, message);
  });
});

it('run refuses before calibration what quantize and export would refuse after it', async () => {
  for (const [of, recipe, message] of [
    [OLD, 'w8a8', /opset 9/],
    [MLP, 'w8a16', /^tensorrt: /],
  ] as const) {
    const place = await workplace(of);
    const { folder, reporter, output } = place;
    const config = join(folder, 'autoglm.yaml');
    writeFileSync(
      config,
      `model: model.onnx\ndata: x.npy\noutput: q\nquantize: { recipe: ${recipe} }\nexport: { target: tensorrt }\n`,
    );
    const refused = runPipeline({ config }, reporter);
    await expectEarly(place, refused, UnsupportedError, message);
    expect(existsSync(output)).toBe(false);
  }
});

it('export takes the shapes of an engine from the samples where names do not tell, and says so', async () => {
  const named = linearModel({ op: 'MatMul', rank: 3 });
  const unnamed = {
    ...named,
    graph: { ...named.graph, inputs: [value('x', 'float32', ['unk__214', undefined, IN])] },
  };
  const { request, folder, output, reporter, notes } = await workplace(unnamed);
  const recipe = join(folder, 'all.yaml');
  writeFileSync(recipe, 'name: all\nhead: w8a8\n');
  const made = await exportModel({ ...request, output, recipe, target: 'tensorrt' }, reporter);
  expect((made as ExportOutcome).folder).toBe(output);
  expect(notes).toContain('x: 1x3x64..1x3x64..1x3x64, as in the samples; --shape says otherwise');
}, 60_000);
