import { tensorAttribute } from '../ir/attributes.ts';
import type { Model } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import type { PlannedEmbedding, PlannedLayer, PlannedTotals } from './quantization-plan.ts';

/** Returns sizes over all constants of the main graph; tensors with one source key count once. */
export function planTotals(
  model: Model,
  layers: readonly PlannedLayer[],
  embeddings: readonly PlannedEmbedding[],
): PlannedTotals {
  const bytesBefore = constantBytes(model);
  const linear = unique(layers.map((layer) => [layer.weight, layer.scheme !== 'float']));
  const all = unique([
    ...layers.map((layer) => [layer.weight, layer.scheme !== 'float'] as const),
    ...embeddings.map(({ table, scheme }) => [table, scheme !== 'float'] as const),
  ]);
  const quantized = all.filter((entry) => entry.isQuantized);
  const before = sum(quantized.map((entry) => entry.before));
  const after = sum(quantized.map((entry) => entry.after));
  const layersOf = (scheme: PlannedLayer['scheme']): number =>
    layers.filter((layer) => layer.scheme === scheme).length;
  return {
    bytesBefore,
    bytesAfter: bytesBefore - before + after,
    linearBytesBefore: sum(linear.map((entry) => entry.before)),
    linearBytesAfter: sum(linear.map((entry) => entry.after)),
    quantizedShare: bytesBefore === 0 ? 0 : before / bytesBefore,
    layers: {
      w8a8: layersOf('w8a8'),
      'w8a8-dynamic': layersOf('w8a8-dynamic'),
      w8a16: layersOf('w8a16'),
      w4a16: layersOf('w4a16'),
      float: layersOf('float'),
    },
  };
}

interface Entry {
  readonly before: number;
  after: number;
  readonly isQuantized: boolean;
}

/** A tied weight is stored once; each further reader adds its own scales unless these come in blocks. */
function unique(
  weights: readonly (readonly [PlannedLayer['weight'], boolean])[],
): readonly Entry[] {
  const entries = new Map<string, Entry>();
  for (const [{ initializer, dims, bytesBefore, bytesAfter, blockSize }, isQuantized] of weights) {
    const known = entries.get(initializer);
    if (known === undefined) {
      entries.set(initializer, { before: bytesBefore, after: bytesAfter, isQuantized });
    } else if (isQuantized && blockSize === undefined) {
      const integers = dims.reduce((product, dim) => product * dim, 1);
      // 4-bit weights are rounded for their input, so each reader has its own.
      known.after += bytesAfter < integers ? bytesAfter : bytesAfter - integers;
    }
  }
  return [...entries.values()];
}

function constantBytes(model: Model): number {
  const tensors: Tensor[] = [...model.graph.initializers.values()];
  for (const node of model.graph.nodes) {
    const value = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
    if (value !== undefined) tensors.push(value);
  }
  const keys = new Set<string>();
  let total = 0;
  for (const { source } of tensors) {
    if (source.key !== undefined && keys.has(source.key)) continue;
    if (source.key !== undefined) keys.add(source.key);
    total += source.byteLength;
  }
  return total;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
