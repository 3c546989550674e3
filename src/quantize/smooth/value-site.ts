import type { Dim, Node } from '../../ir/model.ts';
import { nodeLabel } from '../../ir/node-label.ts';
import { type GraphView, isOp } from '../../passes/graph-view.ts';
import type { AttentionBlock } from '../../structure/block.ts';
import type { AttentionCore } from '../../structure/collect-attention.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import type { LayerIndex } from '../../structure/trace.ts';
import { biasFold, whyNotFoldable } from './foldable.ts';
import {
  type ChannelLayout,
  channelsAlongLastAxis,
  followNode,
  layerLayout,
} from './follow-axes.ts';
import type { Fold, SmoothingSite } from './smoothing-site.ts';
import { type Obstacle, otherReader } from './trace-channels.ts';

/** Nodes that only move elements of their first input. */
const MOVING = [
  'Identity',
  'Cast',
  'Dropout',
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Expand',
  'Transpose',
  'Split',
  'Slice',
  'Gather',
] as const;

/** A node of a path and the value of it that the path goes on with. */
interface Step {
  readonly node: Node;
  readonly output: string;
}

/**
 * Returns the input of an attention's output projection as a site, `core` being the attention of the block: it is a mean of values, so the
 * scales go into the value projection. Channels are followed through every node between, which
 * shows which value channel each input channel is made of. Values that go to a KV cache are
 * declined: they are outputs of the model.
 */
export function valueSite(
  view: GraphView,
  index: LayerIndex,
  block: AttentionBlock,
  core: AttentionCore | undefined,
): SmoothingSite | Obstacle | undefined {
  const output = block.linears.find(({ role }) => role === 'attention-output');
  if (core === undefined || output === undefined) return undefined;
  if (core.form === 'packed') {
    return {
      node: nodeLabel(core.node),
      reason: 'the operator multiplies the value weight itself',
    };
  }
  const mixing = view.producer(core.output)!;
  const after = pathTo(view, output.input, output.node, (value) => value === core.output);
  if ('reason' in after) return after;
  const isLayer = (value: string): boolean => index.byOutput.get(value)?.output === value;
  const before = pathTo(view, core.value, mixing, isLayer);
  if ('reason' in before) return before;
  const value = index.byOutput.get(before.start)!;
  const cached = cacheOutput(view, core);
  if (cached !== undefined) return cached;
  const layout = followAttention(view, { value, before, core, after });
  if (layout === undefined) {
    return { node: nodeLabel(core.node), reason: 'the order of heads and channels is not known' };
  }
  return makeSite(view, value, output, layout);
}

interface Path {
  /** The value that the path begins with. */
  readonly start: string;
  readonly steps: readonly Step[];
}

/** Walks against the data through moving nodes whose elements nobody else reads. */
function pathTo(
  view: GraphView,
  value: string,
  reader: Node,
  isStart: (value: string) => boolean,
): Path | Obstacle {
  const steps: Step[] = [];
  let from = reader;
  for (let at = value; ; ) {
    const other = otherReader(view, at, from);
    if (other !== undefined) return other;
    if (isStart(at)) return { start: at, steps: steps.reverse() };
    const node = view.producer(at);
    if (node === undefined) return { node: nodeLabel(reader), reason: `${at} is an input` };
    if (!isOp(node, ...MOVING)) {
      return { node: nodeLabel(node), reason: `a scale does not pass ${node.opType}` };
    }
    steps.push({ node, output: at });
    from = node;
    at = node.inputs[0] ?? '';
  }
}

/** GroupQueryAttention and Attention hand out the values that they were given. */
function cacheOutput(view: GraphView, { node, form }: AttentionCore): Obstacle | undefined {
  if (form === 'decomposed') return undefined;
  const [, , cache = ''] = node.outputs;
  if (cache === '' || !(view.isOutput(cache) || view.uses(cache).length > 0)) return undefined;
  return { node: nodeLabel(node), reason: `values leave the model as ${cache}` };
}

interface Journey {
  readonly value: LinearLayer;
  readonly before: Path;
  readonly core: AttentionCore;
  readonly after: Path;
}

function followAttention(view: GraphView, journey: Journey): Int32Array | undefined {
  const { value, before, core, after } = journey;
  const shape = view.facts(before.start).shape;
  if (shape === undefined) return undefined;
  const start = layerLayout(shape, value.outFeatures);
  const entering = follow(view, start, before.steps);
  const leaving = entering && throughCore(view, entering, core, value);
  const end = leaving && follow(view, leaving, after.steps);
  return end && channelsAlongLastAxis(end);
}

function follow(
  view: GraphView,
  start: ChannelLayout,
  steps: readonly Step[],
): ChannelLayout | undefined {
  let layout: ChannelLayout | undefined = start;
  for (const { node, output } of steps) {
    layout = layout && followNode(view, layout, node, output);
  }
  return layout;
}

/** A product of probabilities keeps batch, heads and channels; operators repeat KV heads themselves. */
function throughCore(
  view: GraphView,
  layout: ChannelLayout,
  core: AttentionCore,
  value: LinearLayer,
): ChannelLayout | undefined {
  const { form, heads, kvHeads, value: input, query } = core;
  if (form === 'decomposed') {
    const [last] = layout.axes.slice(-1);
    const mixed = layout.axes.at(-2)?.every(({ stride }) => stride === undefined);
    return mixed && last?.every(({ stride }) => stride !== undefined) ? layout : undefined;
  }
  if (layout.axes.length === 4) return repeatHeads(layout, view.facts(query).shape?.[1]);
  if (heads === undefined || kvHeads === undefined || heads % kvHeads !== 0) return undefined;
  if (layout.axes.length !== 3) return undefined;
  const channels = channelsAlongLastAxis(layout);
  if (channels === undefined || channels.length !== value.outFeatures) return undefined;
  const isPacked = input === query;
  const share = isPacked ? heads + 2 * kvHeads : kvHeads;
  const size = value.outFeatures / share;
  if (!Number.isInteger(size) || view.facts(input).shape === undefined) return undefined;
  const axes = [
    ...layout.axes.slice(0, -1),
    [
      { size: kvHeads, stride: size },
      { size: heads / kvHeads, stride: 0 },
      { size, stride: 1 },
    ],
  ];
  return { axes, first: isPacked ? (heads + kvHeads) * size : 0 };
}

/** [batch, KV heads, sequence, head size]: each head serves as many query heads as there are for one. */
function repeatHeads(
  { axes, first }: ChannelLayout,
  queryHeads: Dim | undefined,
): ChannelLayout | undefined {
  const [batch, kvHeads, sequence, channels] = axes;
  const count = kvHeads!.reduce((product, { size }) => product * Number(size), 1);
  if (typeof queryHeads !== 'number' || queryHeads % count !== 0) return undefined;
  const repeated = [...kvHeads!, { size: queryHeads / count, stride: 0 }];
  return { axes: [batch!, repeated, sequence!, channels!], first };
}

function makeSite(
  view: GraphView,
  value: LinearLayer,
  output: LinearLayer,
  channels: Int32Array,
): SmoothingSite | Obstacle {
  for (const layer of [output, value]) {
    const reason = whyNotFoldable(view, layer);
    if (reason !== undefined) return { node: layer.name, reason };
  }
  const first = channels.reduce((least, channel) => Math.min(least, channel), Infinity);
  const last = channels.reduce((most, channel) => Math.max(most, channel), 0);
  if (new Set(channels).size !== last - first + 1 || channels.length !== output.inFeatures) {
    return { node: value.name, reason: 'the value channels are not one run of neighbours' };
  }
  const bias = biasFold(view, value, first);
  if (bias !== undefined && 'reason' in bias) return bias;
  const weight: Fold = { kind: 'matrix', layer: value, first };
  return {
    name: output.name,
    kind: 'value',
    into: value.name,
    layers: [output],
    channels: last - first + 1,
    scaleOf: channels.map((channel) => channel - first),
    folds: bias === undefined ? [weight] : [weight, bias],
  };
}
