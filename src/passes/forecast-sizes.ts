import { intAttribute } from '../ir/attributes.ts';
import { isFloatDataType } from '../ir/data-type.ts';
import type { Model } from '../ir/model.ts';
import { elementCount, type Tensor } from '../ir/tensor.ts';
import type { LinearLayer } from './linear-layer.ts';
import type { Forecast, ModelSummary } from './model-summary.ts';

/** Context for which memory is forecast: a screenshot and a conversation, or a long page. */
const CONTEXT_LENGTH = 4096;

/** Scales and integers per recipe. The embedding and the head are INT8 in all of them. */
const RECIPES: readonly {
  readonly recipe: string;
  readonly bits: number;
  /** Weights that share a scale; a whole output channel when absent. */
  readonly blockSize?: number;
}[] = [
  { recipe: 'w8a8', bits: 8 },
  { recipe: 'w8a16', bits: 8, blockSize: 32 },
  { recipe: 'w4a16-g32', bits: 4, blockSize: 32 },
];

const SCALE_BYTES = 4;

type Totals = Pick<
  ModelSummary,
  'parameterCount' | 'weightByteLength' | 'kvCacheByteLengthPerToken'
>;

/**
 * Returns the size of the constants after each built-in recipe: linear layers in blocks at the
 * recipe's width, head and token table at INT8, the rest as it is. Tied tables
 * count once.
 */
export function forecastSizes(
  model: Model,
  linears: readonly LinearLayer[],
  totals: Totals,
): readonly Forecast[] {
  const tables = tokenTables(model, linears);
  return RECIPES.map(({ recipe, bits, blockSize }) => {
    let weightByteLength = totals.weightByteLength;
    const done = new Set<Tensor>();
    const replace = (tensor: Tensor, count: number, width: number, scaleBytes: number): void => {
      if (done.has(tensor) || !isFloatDataType(tensor.dataType)) return;
      done.add(tensor);
      weightByteLength += (count * width) / 8 + scaleBytes - tensor.source.byteLength;
    };
    for (const { weight, role, inFeatures, outFeatures } of linears) {
      const inBlock = role !== 'head' && role !== 'other' && role !== 'embedding-projection';
      // Recipes of 4 bits leave the head at 8 bits and a scale per channel.
      const grouped = (inBlock || bits === 8) && blockSize !== undefined;
      const scaleBytes = grouped
        ? outFeatures * Math.ceil(inFeatures / blockSize) * SCALE_BYTES
        : outFeatures * SCALE_BYTES;
      if (!inBlock && role !== 'head') continue;
      replace(weight.tensor, inFeatures * outFeatures, inBlock ? bits : 8, scaleBytes);
    }
    for (const table of tables) {
      const count = elementCount(table.dims);
      const scales = bits === 8 && blockSize !== undefined ? count / blockSize : table.dims[0]!;
      replace(table, count, 8, scales * SCALE_BYTES);
    }
    return {
      recipe,
      weightByteLength,
      ratio: totals.weightByteLength === 0 ? 1 : weightByteLength / totals.weightByteLength,
      bitsPerWeight:
        totals.parameterCount === 0 ? 0 : (8 * weightByteLength) / totals.parameterCount,
      memoryByteLength: weightByteLength + CONTEXT_LENGTH * totals.kvCacheByteLengthPerToken,
      contextLength: CONTEXT_LENGTH,
    };
  });
}

/** Float matrices that a Gather reads by row and that are as tall as a head: token tables. */
function tokenTables(model: Model, linears: readonly LinearLayer[]): readonly Tensor[] {
  const heights = new Set(
    linears.filter(({ role }) => role === 'head').map(({ outFeatures }) => outFeatures),
  );
  return model.graph.nodes.flatMap((node) => {
    if (node.opType !== 'Gather' || intAttribute(node, 'axis', 0) !== 0) return [];
    const table = model.graph.initializers.get(node.inputs[0] ?? '');
    return table?.dims.length === 2 && heights.has(table.dims[0] ?? 0) ? [table] : [];
  });
}
