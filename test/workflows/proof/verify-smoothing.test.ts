import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { openModelOnDisk } from '../../../src/artifact/model-on-disk.ts';
import { feedInputs } from '../../../src/calibrate/feed-input.ts';
import { makeFeeds } from '../../../src/calibrate/make-feeds.ts';
import type { Model } from '../../../src/ir/model.ts';
import { inlineTensor, readTensorBytes } from '../../../src/ir/tensor.ts';
import { convertToFloat32 } from '../../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../../src/passes/pass.ts';
import { applySmoothing } from '../../../src/quantize/smooth/apply-smoothing.ts';
import { findSmoothingSites } from '../../../src/quantize/smooth/find-sites.ts';
import {
  encodeScales,
  type PlannedSmoothing,
} from '../../../src/quantize/smooth/planned-smoothing.ts';
import { findBlocks } from '../../../src/structure/find-blocks.ts';
import { findLinears } from '../../../src/structure/find-linears.ts';
import type { TensorValue } from '../../../src/values/tensor-value.ts';
import { runByPart, runTapped } from '../../../src/workflows/proof/run-tapped.ts';
import { compareFolded, verifySmoothing } from '../../../src/workflows/proof/verify-smoothing.ts';
import { root } from '../../kit/paths.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const source = await openModelOnDisk(join(root, 'fixtures/glm-nano/torchscript'));
const twin = runPasses(source.model, [convertToFloat32]);
const choice = { data: join(root, 'calibration/text'), samples: 4, sequenceLength: 128 };

/** Every site, with another scale in each channel. */
function smoothingWith(scaleOf: (channel: number) => number, model = twin): PlannedSmoothing {
  const sites = findSmoothingSites(model).map(({ name, kind, into, layers, channels }) => ({
    name,
    kind,
    into,
    purpose: 'activations' as const,
    alpha: 0.5,
    layers: layers.map((layer) => layer.name),
    scales: encodeScales(Float32Array.from({ length: channels }, (_, index) => scaleOf(index))),
  }));
  return { sites, declined: [] };
}

const powers = smoothingWith((channel) => 2 ** (((channel * 5) % 6) - 2));

/** The folded model with one factor of the first layer of a block that has any doubled. */
async function foldedWrongly(block: number): Promise<Model> {
  const folded = applySmoothing(twin, powers, 'in-graph');
  const names = findLinears(twin)
    .filter((layer) => layer.block === block)
    .map(({ weight }) => `${weight.initializer}_factors`);
  const factors = names.map((name) => folded.graph.initializers.get(name)).find(Boolean)!;
  const values = new Float32Array((await readTensorBytes(factors)).buffer);
  values[3]! *= 2;
  const { name, dims } = factors;
  const wrong = inlineTensor(name, 'float32', dims, new Uint8Array(values.buffer));
  const initializers = new Map(folded.graph.initializers).set(name, wrong);
  return { ...folded, graph: { ...folded.graph, initializers } };
}

describe('verifySmoothing', () => {
  const blocks = findBlocks(twin);

  it('finds the same bits at the end of every block for powers of two', async () => {
    const ends = new Set(blocks.map(({ output }) => output));
    const { values, largestDifference } = await verifySmoothing(source, powers, choice);
    expect(values).toBeGreaterThan(ends.size);
    expect(largestDifference).toBe(0);
  });

  it('cuts the folded model, whose layers are hidden behind products, where its source has blocks', async () => {
    const folded = applySmoothing(twin, powers, 'in-graph');
    const names = [...new Set(blocks.map(({ output }) => output))];
    const ids = BigInt64Array.from({ length: 8 }, (_, index) => BigInt(index * 31));
    const values = new Map([['input_ids', { dataType: 'int64', dims: [8], data: ids } as const]]);
    const feeds = makeFeeds(feedInputs(twin.graph), { index: 0, values });
    const whole = await runTapped(folded, names, feeds);
    const found = new Map<string, TensorValue>();
    let parts = 0;
    for await (const made of runByPart(folded, names, feeds, { wholeModelBytes: 1, like: twin })) {
      for (const [name, value] of made) found.set(name, value);
      parts++;
    }
    expect(parts).toBeGreaterThanOrEqual(names.length);
    expect(found).toEqual(whole);
  });

  it('allows what other scales round', async () => {
    const scales = smoothingWith((channel) => 0.3 + ((channel * 5) % 7));
    const { largestDifference } = await verifySmoothing(source, scales, undefined);
    expect(largestDifference).toBeGreaterThan(0);
    expect(largestDifference).toBeLessThan(1e-5);
  });

  it('undoes the scales of a block that ends in the norm of the head', async () => {
    const genai = await openModelOnDisk(join(root, 'fixtures/glm-nano/genai'));
    const model = runPasses(genai.model, [convertToFloat32]);
    const end = findBlocks(model).at(-1)!.output;
    expect(findLinears(model).find(({ role }) => role === 'head')!.input).toBe(end);
    const scales = smoothingWith((channel) => 0.3 + ((channel * 5) % 7), model);
    const { largestDifference } = await verifySmoothing(genai, scales, choice);
    expect(largestDifference).toBeLessThan(1e-5);
  });

  it.each([...new Set(blocks.map(({ index }) => index))].map((index) => [index]))(
    'names block %d when one channel of one of its weights is folded wrongly',
    async (index) => {
      const wrong = await foldedWrongly(index);
      const { name } = blocks.find((block) => block.index === index)!;
      await expect(
        compareFolded(source, { twin, folded: wrong, smoothing: powers }, choice),
      ).rejects.toThrow(`smoothing: block ${name} does not give the same after folding`);
    },
  );
});
