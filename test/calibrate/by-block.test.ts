import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type CollectOptions, collectStatistics } from '../../src/calibrate/collect-statistics.ts';
import { cutModel } from '../../src/calibrate/cut-model.ts';
import { openDataset } from '../../src/calibrate/dataset.ts';
import type { Dataset } from '../../src/calibrate/sample.ts';
import { statisticsToRecord } from '../../src/calibrate/statistics-record.ts';
import type { Model } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { findLinears } from '../../src/passes/find-linears.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { openOnnxruntimeObserver } from '../../src/runners/observer.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { feedHints } from '../../src/workflows/open-data.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

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
