import { describe, expect, it } from 'vitest';
import { convertToFloat32 } from '../../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../../src/passes/pass.ts';
import { applySmoothing } from '../../../src/quantize/smooth/apply-smoothing.ts';
import { findSmoothingSites } from '../../../src/quantize/smooth/find-sites.ts';
import {
  encodeScales,
  type PlannedSmoothing,
} from '../../../src/quantize/smooth/planned-smoothing.ts';
import { fixture, imageFeeds, runModel, textFeeds } from '../../kit/run-model.ts';

/** Sites by kind. Value projections of decoders with a KV cache are declined. */
const exports = [
  { name: 'glm-nano/dynamo-opset18', norm: 13, up: 6, value: 6 },
  { name: 'glm-nano/dynamo-opset23', norm: 13, up: 6, value: 6 },
  { name: 'glm-nano/torchscript', norm: 13, up: 6, value: 6 },
  { name: 'glm-nano/optimum', norm: 13, up: 6, value: 0 },
  { name: 'glm-nano/genai', norm: 13, up: 6, value: 0 },
  { name: 'vit-fashion/dynamo-opset18', norm: 6, up: 0, value: 3 },
  { name: 'vit-fashion/torchscript-opset14', norm: 6, up: 0, value: 3 },
  { name: 'vit-fashion/optimum', norm: 6, up: 0, value: 3 },
];

describe.each(exports)('folding into the real export $name', ({ name, norm, up, value }) => {
  it('gives what the model gave, whatever the scales', async () => {
    const twin = runPasses(await fixture(name), [convertToFloat32]);
    const declined: string[] = [];
    const sites = findSmoothingSites(twin, { decline: ({ reason }) => declined.push(reason) });
    const ofKind = (kind: string): number => sites.filter((site) => site.kind === kind).length;
    expect([ofKind('norm'), ofKind('up'), ofKind('value')]).toEqual([norm, up, value]);
    const smoothing: PlannedSmoothing = {
      declined: [],
      // From 0.3 to 8.2, another in every channel next to it, and none of them a power of two.
      sites: sites.map(({ name: site, kind, into, layers, channels }) => ({
        name: site,
        kind,
        into,
        purpose: 'activations' as const,
        alpha: 0.8,
        layers: layers.map((layer) => layer.name),
        scales: encodeScales(
          Float32Array.from({ length: channels }, (_, index) => 0.3 * 1.94 ** ((index * 5) % 6)),
        ),
      })),
    };
    const folded = applySmoothing(twin, smoothing);
    expect(folded.graph.nodes).toHaveLength(twin.graph.nodes.length);
    const feeds = name.startsWith('vit')
      ? imageFeeds(twin, 'test.npz', 4)
      : textFeeds(twin, 'heldout.txt', 1, 64);
    const before = await runModel(twin, feeds);
    const after = await runModel(folded, feeds);
    const multiplied = await runModel(applySmoothing(twin, smoothing, 'in-graph'), feeds);
    for (const [output, expected] of before.outputs) {
      const actual = after.outputs.get(output)!;
      const magnitude = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const largest = (values: Float32Array): number =>
        expected.reduce((most, x, index) => Math.max(most, Math.abs(x - values[index]!)), 0);
      const difference = largest(actual);
      expect(largest(multiplied.outputs.get(output)!) / magnitude, output).toBeLessThanOrEqual(
        // The same products, perhaps added up in another order.
        1e-5,
      );
      // One rounding of float32 per scaled value, 6e-8 of it, averaged over the features of a product.
      expect(difference / magnitude, output).toBeLessThanOrEqual(1e-5);
    }
  });
});
