import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model, ValueInfo } from '../../src/ir/model.ts';
import { prepareModel } from '../../src/passes/prepare-model.ts';
import { openModel } from '../../src/storage/model-file.ts';
import type { Feeds, TensorValue } from '../../src/values/tensor-value.ts';
import { noise } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { mnnPython, runMnn, runTwin, worstDifference, writeLowered } from './run-mnn.ts';

/** Every export of the fixtures that computes something whole. */
const EXPORTS = ['glm-nano', 'vit-fashion', 'cnn-fashion'].flatMap((name) =>
  readdirSync(join(root, 'fixtures', name), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'checkpoint')
    .map((entry) => `${name}/${entry.name}`),
);

const python = await mnnPython();

describe.skipIf(python === undefined)('MNN runs', () => {
  it('all exports of the fixtures', () => {
    expect(EXPORTS).toHaveLength(10);
  });

  it.each(EXPORTS)(
    '%s as its float32 twin computes, at batch 1 and 3 and several lengths',
    async (name) => {
      const model = await prepared(name);
      const feeds = feedsOf(model, name);
      const folder = temporaryFolder();
      const expected = await runTwin(model, folder, feeds);
      const limit = 1e-5;
      const path = await writeLowered(model, folder);
      const sessionOutputs = model.graph.outputs.map((output) => output.name);
      const byModule = await runMnn(path, feeds, { python });
      const bySession = await runMnn(path, feeds, { python, api: { sessionOutputs } });
      const halves = await runMnn(await writeLowered(model, folder, { floats: 'float16' }), feeds, {
        python,
      });
      expected.forEach((outputs, run) => {
        const found = [byModule[run]!, bySession[run]!, halves[run]!];
        const worst = found.map((other) => worstDifference(outputs, other));
        expect(Math.max(...worst), `run ${run}: ${worst.join()}`).toBeLessThanOrEqual(limit);
      });
    },
  );
});

async function prepared(name: string): Promise<Model> {
  const path = join(root, 'fixtures', name, 'model.onnx');
  return prepareModel(await openModel(path), path).model;
}

function feedsOf(model: Model, name: string): readonly Feeds[] {
  const pasts = model.graph.inputs.some((input) => input.name.includes('past')) ? [0, 5] : [0];
  const lengths = name.startsWith('glm') ? [1, 7, 33] : [1];
  return [1, 3].flatMap((batch) =>
    lengths.flatMap((length) =>
      pasts
        // onnxruntime's GroupQueryAttention itself takes one row where several tokens follow a cache.
        .filter((past) => !(name.endsWith('genai') && past > 0 && batch > 1 && length > 1))
        .map(
          (past) =>
            new Map(
              model.graph.inputs.map((input) => [
                input.name,
                feedOf(input, { batch, length, past }),
              ]),
            ),
        ),
    ),
  );
}

interface Sizes {
  readonly batch: number;
  readonly length: number;
  readonly past: number;
}

function feedOf({ name, type }: ValueInfo, sizes: Sizes): TensorValue {
  if (type?.kind !== 'tensor') throw new Error(`${name} is no tensor`);
  const { batch, length, past } = sizes;
  const dims = (type.shape ?? []).map((dim) => {
    if (typeof dim === 'number') return dim;
    if (/batch/.test(String(dim))) return batch;
    if (/channels/.test(String(dim))) return 1;
    if (/height|width/.test(String(dim))) return 28;
    if (/total|\+/.test(String(dim))) return past + length;
    return /past/.test(String(dim)) ? past : length;
  });
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (type.dataType !== 'int64')
    return { dataType: 'float32', dims, data: noise(count + 1, count) };
  const text = readFileSync(join(root, 'calibration/text/heldout.txt'));
  const element = (index: number): number => {
    if (name.includes('mask')) return 1;
    return name.includes('position') ? past + (index % length) : text[index]!;
  };
  return {
    dataType: 'int64',
    dims,
    data: BigInt64Array.from({ length: count }, (_, index) => BigInt(element(index))),
  };
}
