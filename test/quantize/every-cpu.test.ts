/**
 * What an artifact computes must not depend on the CPU. onnxruntime's own exact mode
 * (`session.x64quantprecision`: uint8 x uint8 in 32 bits) stands in for every other kind: where this CPU
 * saturates, the two would differ; where it does not, the scan proves that none does.
 */
import { describe, expect, it, vi } from 'vitest';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { SAFE_PAIR, scanSaturation } from '../../src/targets/onnx/scan-saturation.ts';
import { fixture, runModel } from '../kit/run-model.ts';
import { untied } from '../kit/untied.ts';
import { exports, feeds, planFor } from './fixture-plans.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const EXACT = { x64quantprecision: '1' };

describe.each(exports)('the artifact of $name', ({ name }) => {
  it.each(['w8a8', 'w8a8-full', 'w8a8-dynamic'])(
    'by %s has no pair that saturates, and the logits of exact arithmetic bit for bit',
    async (recipe) => {
      const source = await fixture(name);
      const plan = await planFor(source, name, recipe);
      const artifact = applyQuantization(source, plan);
      const { products, notScanned } = await scanSaturation(artifact);
      const integerLayers = plan.layers.filter(({ scheme }) => /^w8a8/.test(scheme));
      const inPlanes = plan.layers.filter(({ scheme }) => scheme === 'w8a8x2');
      expect(products).toHaveLength(integerLayers.length + inPlanes.length);
      expect(notScanned).toEqual([]);
      expect(Math.max(...products.map(({ worstPair }) => worstPair))).toBeLessThanOrEqual(
        SAFE_PAIR,
      );
      const [input] = feeds(artifact, name, 'check');
      const here = await runModel(artifact, [input!]);
      const exact = await runModel(untied(artifact), [input!], EXACT);
      expect(exact.outputs.get('logits')).toEqual(here.outputs.get('logits'));
    },
  );
});
