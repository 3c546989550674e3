/** Trained models on real held-out data: figures that others computed with other tools. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { openDataset } from '../../src/calibrate/dataset.ts';
import { makeFeeds } from '../../src/calibrate/make-feeds.ts';
import type { DatasetOptions } from '../../src/calibrate/sample.ts';
import { compareAccuracy, type PairedSample } from '../../src/check/accuracy.ts';
import type { Accuracy } from '../../src/check/check-result.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { inferShapes } from '../../src/passes/infer-shapes.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { onnxruntimeRunner } from '../../src/runners/onnxruntime/onnxruntime-runner.ts';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** Compares a float16 export with its float32 twin, the baseline of every CPU check. */
async function compareWithTwin(
  fixture: string,
  data: string,
  options: DatasetOptions,
): Promise<Accuracy> {
  const path = join(root, 'fixtures', fixture, 'model.onnx');
  const twinPath = join(temporaryFolder(), 'twin.onnx');
  await saveModel(runPasses(await openModel(path), [inferShapes, convertToFloat32]), twinPath);
  const dataset = await openDataset(join(root, 'calibration', data), options);
  const source = await onnxruntimeRunner.load(path, { device: 'cpu' });
  const artifact = await onnxruntimeRunner.load(twinPath, { device: 'cpu' });
  async function* pairs(): AsyncGenerator<PairedSample> {
    for await (const sample of dataset.samples('heldOut')) {
      yield {
        sample,
        source: makeFeeds(source.inputs, sample),
        artifact: makeFeeds(artifact.inputs, sample),
      };
    }
  }
  try {
    return await compareAccuracy({ source, artifact, samples: pairs(), outputs: ['logits'] });
  } finally {
    await Promise.all([source.close(), artifact.close()]);
  }
}

function figures(fixture: string): Record<string, Record<string, number>> {
  return JSON.parse(readFileSync(join(root, 'fixtures', fixture, 'figures.json'), 'utf8'));
}

describe('compareAccuracy on trained fixtures', () => {
  it('finds the top-1 that PyTorch found on the same 1,000 images', async () => {
    const { classification } = await compareWithTwin(
      'vit-fashion/dynamo-opset18',
      'fashion-mnist',
      {},
    );
    expect(classification?.rows).toBe(1000);
    expect(classification?.top1?.artifact).toBe(
      figures('vit-fashion')['torch_fp32']?.['top1_first_1000'],
    );
    expect(Math.abs(classification?.top1?.dropPoints ?? 100)).toBeLessThanOrEqual(0.2);
    expect(classification?.top1?.dropPointsInterval?.low).toBeLessThan(0);
    expect(classification?.top1?.dropPointsInterval?.high).toBeGreaterThan(0);
  });

  it('finds the perplexity that PyTorch found on the same 192 windows of text', async () => {
    const { languageModel } = await compareWithTwin('glm-nano/optimum', 'text', {
      sequenceLength: 256,
    });
    expect(languageModel?.predictedTokens).toBe(192 * 255);
    // float16 weights in onnxruntime against float32 in PyTorch: equal to four digits.
    const expected = figures('glm-nano')['torch_fp32']?.['byte_perplexity'] ?? 0;
    expect(languageModel?.perplexity?.source).toBeCloseTo(expected, 3);
    expect(languageModel?.perplexity?.ratio).toBeCloseTo(1, 3);
    expect(languageModel?.agreement).toBeGreaterThan(0.995);
    expect(languageModel?.klNats).toBeLessThan(1e-4);
  });
});
