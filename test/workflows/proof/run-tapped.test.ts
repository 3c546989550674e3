import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { openDataset } from '../../../src/calibrate/dataset.ts';
import { feedHints } from '../../../src/calibrate/feed-hints.ts';
import { feedInputs } from '../../../src/calibrate/feed-input.ts';
import { makeFeeds } from '../../../src/calibrate/make-feeds.ts';
import { convertToFloat32 } from '../../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../../src/passes/pass.ts';
import { openModel } from '../../../src/storage/model-file.ts';
import { findBlocks } from '../../../src/structure/find-blocks.ts';
import { runTapped } from '../../../src/workflows/proof/run-tapped.ts';
import { root } from '../../kit/paths.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

it.each(['glm-nano/dynamo-opset18', 'glm-nano/genai'])(
  'the ends of all blocks of %s, and its logits, are the same bits run block by block',
  async (fixture) => {
    const source = await openModel(join(root, 'fixtures', fixture));
    const model = runPasses(source, [convertToFloat32]);
    const names = [...new Set([...findBlocks(model).map(({ output }) => output), 'logits'])];
    const dataset = await openDataset(join(root, 'calibration/text'), {
      samples: 1,
      sequenceLength: 24,
    });
    for await (const sample of dataset.samples('calibration')) {
      const feeds = makeFeeds(feedInputs(model.graph), sample, feedHints(source));
      const whole = await runTapped(model, names, feeds);
      expect([...whole.keys()]).toEqual(names);
      expect(whole.get('logits')?.dims).toEqual([1, 24, 256]);
      expect(await runTapped(model, names, feeds, { wholeModelBytes: 1 })).toEqual(whole);
    }
  },
);
