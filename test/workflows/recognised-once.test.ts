import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import type { Graph } from '../../src/ir/model.ts';
import type { GraphView } from '../../src/passes/graph-view.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

/** The graph of every search for attention, which is a part of every recognition. */
const searched = vi.hoisted((): Graph[] => []);

vi.mock('../../src/structure/collect-attention.ts', async (original) => {
  const actual = await original<typeof import('../../src/structure/collect-attention.ts')>();
  return {
    ...actual,
    collectAttention: (view: GraphView) => {
      searched.push(view.graph);
      return actual.collectAttention(view);
    },
  };
});

it('quantize recognises each model once: the source, its twin, and what was made of them', async () => {
  await quantize(
    {
      model: join(root, 'fixtures/glm-nano/optimum'),
      data: join(root, 'calibration/text'),
      recipe: 'w8a8',
      samples: 2,
      sequenceLength: 32,
      output: temporaryFolder(),
    },
    silent,
  );
  expect(searched.length).toBeGreaterThan(0);
  expect(new Set(searched).size).toBe(searched.length);
  // The last is the model that second moments are taken of.
  expect(searched.length).toBeLessThanOrEqual(6);
});
