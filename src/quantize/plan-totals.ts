import type { Model } from '../ir/model.ts';
import { openBodies } from '../passes/open-bodies.ts';
import { byScheme } from '../recipe/recipe.ts';
import { floatConstantBytes, mainConstants } from './float-constants.ts';
import type { PlannedEmbedding, PlannedLayer, PlannedTotals } from './quantization-plan.ts';

/** Returns sizes over all constants, those in bodies too; tensors with one source key count once. */
export function planTotals(
  model: Model,
  layers: readonly PlannedLayer[],
  embeddings: readonly PlannedEmbedding[],
): PlannedTotals {
  const opened = openBodies(model).model;
  const bytesBefore = sum(
    [...mainConstants(opened).values()].map(({ source }) => source.byteLength),
  );
  const ofLayers = layers.map(({ weight, scheme }) => [weight, scheme] as const);
  const linear = unique(ofLayers);
  const quantizedNames = [
    ...layers.filter(({ scheme }) => scheme !== 'float').map(({ weight }) => weight.initializer),
    ...embeddings.filter(({ scheme }) => scheme !== 'float').map(({ name }) => name),
  ];
  const all = unique([
    ...ofLayers,
    ...embeddings.map(({ table, scheme }) => [table, scheme] as const),
  ]);
  const quantized = all.filter((entry) => entry.isQuantized);
  const before = sum(quantized.map((entry) => entry.before));
  const after = sum(quantized.map((entry) => entry.after));
  return {
    bytesBefore,
    bytesAfter: bytesBefore - before + after,
    linearBytesBefore: sum(linear.map((entry) => entry.before)),
    linearBytesAfter: sum(linear.map((entry) => entry.after)),
    quantizedShare: bytesBefore === 0 ? 0 : before / bytesBefore,
    floatBytes: floatConstantBytes(opened, new Set(quantizedNames)),
    layers: byScheme((scheme) => layers.filter((layer) => layer.scheme === scheme).length),
  };
}

interface Entry {
  readonly before: number;
  after: number;
  readonly isQuantized: boolean;
}

/**
 * A tied weight is stored once. Each further reader adds its own scales, unless it reads blocks: these come with
 * their scales, and 4-bit weights always lie in blocks.
 */
function unique(
  weights: readonly (readonly [PlannedLayer['weight'], PlannedLayer['scheme'] | 'int8'])[],
): readonly Entry[] {
  const entries = new Map<string, Entry>();
  for (const [{ initializer, dims, bytesBefore, bytesAfter, blockSize }, scheme] of weights) {
    const isQuantized = scheme !== 'float';
    const known = entries.get(initializer);
    if (known === undefined) {
      entries.set(initializer, { before: bytesBefore, after: bytesAfter, isQuantized });
    } else if (isQuantized && blockSize === undefined && scheme !== 'w4a16') {
      known.after += bytesAfter - dims.reduce((product, dim) => product * dim, 1);
    }
  }
  return [...entries.values()];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
