import type { Model, Node } from '../../ir/model.ts';
import { nodeLabel } from '../../ir/node-label.ts';
import { type GraphView, isOp, viewGraph } from '../../passes/graph-view.ts';
import type { Declined, PassContext } from '../../passes/pass.ts';
import type { Block, FfnBlock } from '../../structure/block.ts';
import type { AttentionCore } from '../../structure/collect-attention.ts';
import type { Norm } from '../../structure/find-norms.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { recognize } from '../../structure/recognize.ts';
import { indexLayers, type LayerIndex } from '../../structure/trace.ts';
import { biasFold, normFolds, whyNotFoldable } from './foldable.ts';
import type { Fold, SmoothingSite } from './smoothing-site.ts';
import { keepsLastAxis, type Obstacle, traceChannels } from './trace-channels.ts';
import { valueSite } from './value-site.ts';

/** What the search for sites looks at. */
interface SiteSearch {
  readonly view: GraphView;
  readonly index: LayerIndex;
  /** The attention of each block, by the node that blocks name. */
  readonly cores: ReadonlyMap<Node, AttentionCore>;
}

/** Sites of a model, and the places that look like one and are none. */
interface Known {
  readonly sites: readonly SmoothingSite[];
  readonly declined: readonly Declined[];
}

/** Models do not change, so their sites are found once. */
const known = new WeakMap<Model, Known>();

/**
 * Returns the activations of a model whose channels can be scaled by folding alone, in node order of
 * their first layer. A place that looks like one and is not goes to `context` with the node in
 * the way and the reason.
 */
export function findSmoothingSites(model: Model, context?: PassContext): readonly SmoothingSite[] {
  const found = known.get(model) ?? searchSites(model);
  known.set(model, found);
  for (const declined of found.declined) context?.decline(declined);
  return found.sites;
}

function searchSites(model: Model): Known {
  const { linears, norms, blocks, attentions } = recognize(model);
  const view = viewGraph(model);
  const cores = new Map(attentions.map((core) => [core.node, core]));
  const search: SiteSearch = { view, index: indexLayers(linears), cores };
  const found = [
    ...norms.map((norm) => normSite(search, norm)),
    ...blocks.map((block) => blockSite(search, block)),
  ];
  const sites: SmoothingSite[] = [];
  const declined: Declined[] = [];
  for (const site of found) {
    if (site === undefined) continue;
    if ('reason' in site) declined.push({ pass: 'smooth', ...site });
    else sites.push(site);
  }
  sites.sort((a, b) => view.position(a.layers[0]!.node) - view.position(b.layers[0]!.node));
  return { sites, declined };
}

function blockSite(search: SiteSearch, block: Block): SmoothingSite | Obstacle | undefined {
  return block.kind === 'ffn'
    ? downSite(search, block)
    : valueSite(search.view, search.index, block, search.cores.get(block.core));
}

/** The layers that a norm feeds, and what else reads it. */
function normSite(search: SiteSearch, norm: Norm): SmoothingSite | Obstacle | undefined {
  const { layers, obstacle } = readingLayers(search, norm.output);
  const [first] = layers;
  if (first === undefined) return undefined;
  if (obstacle !== undefined) return obstacle;
  const channels = first.inFeatures;
  const folds = normFolds(search.view, norm, channels);
  if ('reason' in folds) return folds;
  const odd = firstUnfoldable(search.view, layers);
  if (odd !== undefined) return odd;
  return { name: first.name, kind: 'norm', into: norm.name, layers, channels, folds };
}

function firstUnfoldable(view: GraphView, layers: readonly LinearLayer[]): Obstacle | undefined {
  for (const layer of layers) {
    const reason = whyNotFoldable(view, layer);
    if (reason !== undefined) return { node: layer.name, reason };
  }
  return undefined;
}

interface Reading {
  readonly layers: readonly LinearLayer[];
  readonly obstacle: Obstacle | undefined;
}

function readingLayers({ view, index }: SiteSearch, value: string): Reading {
  const layers = new Set<LinearLayer>();
  let obstacle: Obstacle | undefined;
  const pending = [value];
  for (let at = pending.shift(); at !== undefined; at = pending.shift()) {
    if (view.isOutput(at)) {
      obstacle ??= { node: at, reason: `${at} is an output of the model` };
    }
    for (const { node, inputIndex } of view.uses(at)) {
      const layer = index.byNode.get(node);
      const isProduct = layer !== undefined && inputIndex === 0 && isOp(node, 'MatMul', 'Gemm');
      if (isProduct) layers.add(layer);
      else if (inputIndex === 0 && keepsLastAxis(view, node)) pending.push(node.outputs[0] ?? '');
      else if (!isOp(node, 'Shape')) {
        obstacle ??= { node: nodeLabel(node), reason: `${node.opType} reads ${at} too` };
      }
    }
  }
  const ordered = [...layers].sort((a, b) => view.position(a.node) - view.position(b.node));
  return { layers: ordered, obstacle };
}

/** The input of an FFN's down projection, which its up half scales. */
function downSite(search: SiteSearch, block: FfnBlock): SmoothingSite | Obstacle {
  const { view, index } = search;
  const down = block.linears.find(({ role }) => role === 'down')!;
  const reason = whyNotFoldable(view, down);
  if (reason !== undefined) return { node: down.name, reason };
  const entry = entryOfDown(view, down);
  if ('reason' in entry) return entry;
  const { node, operands } = entry;
  if (!isOp(node, 'Relu') && !(block.gated && isOp(node, 'Mul'))) {
    return { node: nodeLabel(node), reason: `a scale does not pass ${block.activation}` };
  }
  const traced = operands.map((value) => traceChannels(view, index, value, down.inFeatures, node));
  const up = traced.find((found) => 'layer' in found);
  if (up === undefined)
    return (
      (traced.at(-1) as Obstacle | undefined) ?? { node: down.name, reason: 'nothing precedes it' }
    );
  const odd = whyNotFoldable(view, up.layer);
  if (odd !== undefined) return { node: up.layer.name, reason: odd };
  const bias = biasFold(view, up.layer, up.first);
  if (bias !== undefined && 'reason' in bias) return bias;
  const weight: Fold = { kind: 'matrix', layer: up.layer, first: up.first };
  return {
    name: down.name,
    kind: 'up',
    into: up.layer.name,
    layers: [down],
    channels: down.inFeatures,
    folds: bias === undefined ? [weight] : [weight, bias],
  };
}

/** The node that makes the input of the down projection, which must be its only reader. */
function entryOfDown(
  view: GraphView,
  down: LinearLayer,
): { readonly node: Node; readonly operands: readonly string[] } | Obstacle {
  let reader = down.node;
  for (let at = down.input; ; ) {
    if (view.isOutput(at)) return { node: down.name, reason: `${at} is an output of the model` };
    const other = view.uses(at).find(({ node }) => node !== reader && !isOp(node, 'Shape'));
    if (other !== undefined) {
      return { node: nodeLabel(other.node), reason: `${other.node.opType} reads ${at} too` };
    }
    const node = view.producer(at);
    if (node === undefined) return { node: down.name, reason: `${at} is an input of the model` };
    if (!keepsLastAxis(view, node)) return { node, operands: node.inputs };
    reader = node;
    at = node.inputs[0] ?? '';
  }
}
