import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { collectGrams } from '../../src/calibrate/collect-grams.ts';
import { collectStatistics } from '../../src/calibrate/collect-statistics.ts';
import { openDataset } from '../../src/calibrate/dataset.ts';
import type { GramFile } from '../../src/calibrate/observe/activation-observer.ts';
import { openOnnxruntimeObserver } from '../../src/calibrate/observe/observer.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { FLOAT, tinyModel, writeTiny } from '../runners/tiny-models.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

function read({ path, width, isDiagonal }: GramFile): Float32Array {
  const bytes = new Uint8Array(readFileSync(path));
  expect(bytes).toHaveLength(4 * width * (isDiagonal ? 1 : width));
  return new Float32Array(bytes.buffer);
}

describe('second moments', () => {
  it('are sums of x * transpose(x) over all vectors of all samples, of inputs as of computed values', async () => {
    const model = await openModel(
      writeTiny(
        tinyModel(
          [{ opType: 'Neg', inputs: ['x'], outputs: ['a'] }],
          [{ name: 'x', type: FLOAT, dims: ['batch', 's', 2] }],
          [{ name: 'a', type: FLOAT, dims: ['batch', 's', 2] }],
        ),
      ),
    );
    const rows = [
      [1, 2, 3, -1],
      [0, 5],
    ];
    const grams = await collectGrams({
      model,
      widths: new Map([
        ['x', 2],
        ['a', 2],
      ]),
      dataset: {
        path: 'rows',
        count: async () => rows.length,
        async *samples(): AsyncIterable<Sample> {
          for (const [index, row] of rows.entries()) {
            const data = Float32Array.from(row);
            const x = { dataType: 'float32', dims: [row.length / 2, 2], data } as const;
            yield { index, values: new Map([['x', x]]) };
          }
        },
      },
      openObserver: openOnnxruntimeObserver,
      maxWidth: 2,
      folder: temporaryFolder(),
    });
    // Vectors (1, 2), (3, -1), (0, 5).
    for (const name of ['x', 'a']) {
      expect(grams.get(name)).toMatchObject({ width: 2, rowCount: 3 });
      expect([...read(grams.get(name)!)]).toEqual([10, -1, -1, 30]);
    }
  });

  it('of a decoder, a block at a time, are those of the model run whole; wide inputs have squares alone', async () => {
    const model = runPasses(await openModel(`${root}/fixtures/glm-nano/optimum`), [
      convertToFloat32,
    ]);
    const widths = new Map(findLinears(model).map(({ input, inFeatures }) => [input, inFeatures]));
    const dataset = await openDataset(`${root}/calibration/text`, {
      samples: 2,
      sequenceLength: 32,
    });
    const shared = { model, dataset, openObserver: openOnnxruntimeObserver };
    const byBlock = await collectGrams({
      ...shared,
      widths,
      maxWidth: 128,
      folder: temporaryFolder(),
    });
    const values = [...widths.keys()];
    const whole = await collectStatistics({
      ...shared,
      values,
      byBlock: false,
      grams: { values, maxWidth: 384, folder: temporaryFolder(), prefix: 'whole-' },
    });
    expect([...byBlock.values()].filter(({ isDiagonal }) => isDiagonal)).toHaveLength(6);
    expect([...byBlock.keys()].sort()).toEqual([...values].sort());
    for (const [name, file] of byBlock) {
      expect(file.rowCount).toBe(64);
      const gram = read(whole.grams.get(name)!);
      if (!file.isDiagonal) expect(read(file)).toEqual(gram);
      else {
        expect(file.width).toBe(384);
        const squares = read(file);
        // Sums in float32 in one, in float64 in the other.
        squares.forEach((square, index) => {
          expect(Math.abs(square - gram[index * 385]!)).toBeLessThanOrEqual(1e-5 * square);
        });
      }
    }
  });
});
