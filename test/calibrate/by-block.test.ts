import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import {
  type CollectOptions,
  type CollectProgress,
  collectStatistics,
} from '../../src/calibrate/collect-statistics.ts';
import { cutModel } from '../../src/calibrate/cut-model.ts';
import { openDataset } from '../../src/calibrate/dataset.ts';
import { feedHints } from '../../src/calibrate/feed-hints.ts';
import { openOnnxruntimeObserver } from '../../src/calibrate/observe/observer.ts';
import type { Dataset } from '../../src/calibrate/sample.ts';
import { statisticsToRecord } from '../../src/calibrate/statistics-record.ts';
import type { Model } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

interface Case {
  readonly model: Model;
  readonly values: readonly string[];
  readonly options: CollectOptions;
}

async function caseOf(fixture: string): Promise<Case> {
  const source = await openModel(join(root, 'fixtures', fixture));
  const model = runPasses(source, [convertToFloat32]);
  const values = [...new Set(findLinears(model).map(({ input }) => input))];
  const dataset = fixture.startsWith('vit') ? await images() : await text();
  const options = {
    model,
    values,
    dataset,
    openObserver: openOnnxruntimeObserver,
    hints: feedHints(source),
    threads: 2,
  };
  return { model, values, options };
}

function text(): Promise<Dataset> {
  const folder = join(root, 'calibration/text');
  return openDataset(folder, { samples: 3, sequenceLength: 40 });
}

function images(): Promise<Dataset> {
  return openDataset(join(root, 'calibration/fashion-mnist'), { samples: 3 });
}

async function textOf(options: CollectOptions): Promise<readonly string[]> {
  const { statistics } = await collectStatistics(options);
  return [...statistics].map(
    ([name, found]) => `${name} ${JSON.stringify(statisticsToRecord(found))}`,
  );
}

it('Block by block a constant has the statistics of the whole model.', async () => {
  const { model, options } = await caseOf('glm-nano/optimum');
  const [constant] = [...model.graph.initializers].find(([, { dims }]) => dims.length === 1)!;
  const values = [...options.values, constant];
  const whole = await textOf({ ...options, values, byBlock: false });
  expect(whole.at(-1)).toMatch(constant);
  const byBlock = { partBytes: 1, spoolBytes: 0 };
  expect(await textOf({ ...options, values, byBlock })).toEqual(whole);
});

describe.each([
  { fixture: 'glm-nano/dynamo-opset18', blocks: 6 },
  { fixture: 'glm-nano/dynamo-opset23', blocks: 6 },
  { fixture: 'glm-nano/torchscript', blocks: 6 },
  { fixture: 'glm-nano/optimum', blocks: 6 },
  { fixture: 'glm-nano/genai', blocks: 6 },
  { fixture: 'vit-fashion/dynamo-opset18', blocks: 6 },
  { fixture: 'vit-fashion/torchscript-opset14', blocks: 6 },
  { fixture: 'vit-fashion/optimum', blocks: 6 },
])('$fixture run block by block', ({ fixture, blocks }) => {
  it('gives the statistics of the whole model, bit for bit, from memory and from disk', async () => {
    const { model, values, options } = await caseOf(fixture);
    const parts = cutModel(model, values, 1);
    expect(parts?.length).toBeGreaterThan(blocks);
    const whole = await textOf({ ...options, byBlock: false });
    expect(whole.length).toBe(values.length);
    expect(await textOf({ ...options, byBlock: { partBytes: 1, spoolBytes: 0 } })).toEqual(whole);
    expect(await textOf({ ...options, byBlock: { partBytes: 2e6, spoolBytes: 1e9 } })).toEqual(
      whole,
    );
  });
});

describe('a run block by block', () => {
  it('reports its parts, and leaves nothing behind when it is stopped or fails', async () => {
    const { options } = await caseOf('glm-nano/dynamo-opset18');
    const before = process.env['TMPDIR'];
    const folder = temporaryFolder();
    process.env['TMPDIR'] = folder;
    try {
      const stop = new AbortController();
      const seen: CollectProgress[] = [];
      const stopped = collectStatistics({
        ...options,
        byBlock: { partBytes: 1, spoolBytes: 0 },
        signal: stop.signal,
        onProgress: (progress) => {
          seen.push(progress);
          if (progress.done === 5) stop.abort(new Error('enough'));
        },
      });
      await expect(stopped).rejects.toThrow('enough');
      const { total, parts, rssBytes } = seen.at(-1)!;
      expect(total).toBe(3 * parts);
      expect(rssBytes).toBeGreaterThan(10e6);
      const failed = collectStatistics({
        ...options,
        byBlock: true,
        openObserver: () => Promise.reject(new Error('no runtime')),
      });
      await expect(failed).rejects.toThrow('no runtime');
      // onnxruntime keeps logs of its own there.
      expect(readdirSync(folder).filter((name) => name.startsWith('autoglm'))).toEqual([]);
    } finally {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    }
  });
});
