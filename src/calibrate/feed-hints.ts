import { allNodes } from '../ir/all-nodes.ts';
import { intAttribute } from '../ir/attributes.ts';
import type { Model } from '../ir/model.ts';
import type { FeedHints } from './feed-input.ts';

/** Returns KV sizes that only attributes tell: those of the first GroupQueryAttention node. */
export function feedHints(model: Model): FeedHints {
  const attention = [...allNodes(model.graph)].find(
    ({ opType }) => opType === 'GroupQueryAttention',
  );
  const kvHeads = attention && intAttribute(attention, 'kv_num_heads');
  const heads = attention && intAttribute(attention, 'num_heads');
  if (attention === undefined || kvHeads === undefined || heads === undefined) return {};
  const headDim = headDimOf(model, attention.inputs[3] ?? '');
  return { kvHeads, ...(headDim !== undefined && { headDim }) };
}

function headDimOf(model: Model, cache: string): number | undefined {
  const type = model.graph.inputs.find(({ name }) => name === cache)?.type;
  const last = type?.kind === 'tensor' ? type.shape?.at(-1) : undefined;
  return typeof last === 'number' ? last : undefined;
}
