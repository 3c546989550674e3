import type { GraphView } from '../passes/graph-view.ts';
import type { AttentionBlock } from './block.ts';
import type { AttentionCore } from './collect-attention.ts';
import type { LinearLayer, LinearRole } from './linear-layer.ts';

/** Returns the role of every projection, by which of query, key and value it feeds. */
export function attentionRoles(
  query: readonly LinearLayer[],
  key: readonly LinearLayer[],
  value: readonly LinearLayer[],
  output: LinearLayer,
): ReadonlyMap<LinearLayer, LinearRole> {
  const roles = new Map<LinearLayer, LinearRole>();
  for (const layer of new Set([...query, ...key, ...value])) {
    const [inQuery, inKey, inValue] = [query, key, value].map((list) => list.includes(layer));
    if (inQuery && inKey && inValue) roles.set(layer, 'qkv');
    else if (inKey && inValue) roles.set(layer, 'kv');
    else roles.set(layer, inQuery ? 'q' : inKey ? 'k' : 'v');
  }
  return roles.set(output, 'attention-output');
}

/** Head counts of an attention, where they can be told. */
export type Heads = Pick<AttentionBlock, 'heads' | 'kvHeads' | 'headDim'>;

/** Returns the head counts: from attributes, else from inferred shapes and the widths of the projections. */
export function headCounts(
  view: GraphView,
  core: AttentionCore,
  roles: ReadonlyMap<LinearLayer, LinearRole>,
  output: LinearLayer,
): Heads {
  const width = (role: LinearRole): number | undefined =>
    [...roles].find(([, given]) => given === role)?.[0].outFeatures;
  if (core.heads !== undefined) {
    const headDim = output.inFeatures / core.heads;
    return { heads: core.heads, kvHeads: core.kvHeads, headDim };
  }
  const headDim = [core.query, core.value]
    .map((name) => view.facts(name).shape?.at(-1))
    .find((dim) => typeof dim === 'number');
  if (typeof headDim !== 'number')
    return { heads: undefined, kvHeads: undefined, headDim: undefined };
  const heads = output.inFeatures / headDim;
  const packed = width('qkv');
  const kvWidth = width('k') ?? half(width('kv')) ?? half(packed && packed - output.inFeatures);
  return { heads, kvHeads: kvWidth && kvWidth / headDim, headDim };
}

function half(width: number | undefined): number | undefined {
  return width === undefined ? undefined : width / 2;
}
