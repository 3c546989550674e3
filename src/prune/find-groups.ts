import type { Model, Node } from '../ir/model.ts';
import { nodeLabel } from '../ir/node-label.ts';
import { presentOf, roleOf } from '../structure/input-role.ts';
import { layerName } from '../structure/layer-name.ts';
import { inputAt, type LabelledAxis, NO_UNIT } from './axis-rule.ts';
import { followUnits, isObstacle, type MayResize, type Reach } from './follow-units.ts';
import { type GraphContext, graphContext, operandValue } from './graph-context.ts';
import type { DeclinedGroup, GroupAxis, PruneGroup, PruneGroups } from './group.ts';
import { isPackedProduct, isProduct, ruleOf } from './rules/index.ts';

const ONE_UNIT = new Int32Array(1);

/** A product with a constant weight that sums over channels which perhaps may go. */
interface Seed {
  readonly node: Node;
  readonly value: string;
  readonly axis: number;
  readonly count: number;
}

/**
 * Returns every set of channels or heads that can be removed from the main graph, found from the products that
 * sum over them, and the products for which none can, with the node in the way.
 */
export function findGroups(model: Model): PruneGroups {
  const context = graphContext(model);
  const mayResize = cacheAxes(context);
  const groups: PruneGroup[] = [];
  const declined: DeclinedGroup[] = [...unreadable(context)];
  const consumed = new Set<Node>();
  const names = new Set<string>();
  for (const seed of findSeeds(context)) {
    if (consumed.has(seed.node)) continue;
    const reach = followUnits(context, seed, mayResize);
    const name = groupName(context, seed.node);
    if (isObstacle(reach)) {
      declined.push({ name, ...reach });
      continue;
    }
    for (const { node } of reach.consumers) consumed.add(node);
    const group = makeGroup(seed, reach, freeName(name, names));
    if (typeof group === 'string')
      declined.push({ name, node: nodeLabel(seed.node), reason: group });
    else groups.push(group);
  }
  return { groups, declined };
}

function findSeeds(context: GraphContext): readonly Seed[] {
  const { view } = context;
  const seeds: Seed[] = [];
  for (const node of view.graph.nodes) {
    if (!isProduct(node)) continue;
    for (const index of [0, 1]) {
      const value = node.inputs[index] ?? '';
      if (context.isConstant(value)) continue;
      const rank = context.shape(value)?.length ?? 0;
      for (let axis = 0; axis < rank; axis++) {
        const spread = ruleOf(node)?.follow(
          node,
          { side: 'input', index, axis, units: ONE_UNIT },
          context.of(node),
        );
        if (spread === undefined || typeof spread === 'string' || spread.consumes === undefined)
          continue;
        const weight = view.facts(node.inputs[spread.consumes.weight] ?? '').shape;
        const count = weight?.[spread.consumes.weightAxis];
        if (typeof count === 'number' && count > 1) seeds.push({ node, value, axis, count });
      }
    }
  }
  return seeds;
}

/** Products of a weight whose channels cannot be counted, and those whose weight is packed. */
function unreadable(context: GraphContext): readonly DeclinedGroup[] {
  return context.view.graph.nodes.flatMap((node) => {
    const reason = whyUnreadable(context, node);
    const label = nodeLabel(node);
    return reason === undefined ? [] : [{ name: groupName(context, node), node: label, reason }];
  });
}

function whyUnreadable(context: GraphContext, node: Node): string | undefined {
  const at = (index: number): LabelledAxis => ({ ...inputAt(index), axis: 1, units: ONE_UNIT });
  if (isPackedProduct(node)) {
    const spread = ruleOf(node)?.follow(node, at(0), context.of(node));
    return typeof spread === 'string' ? spread : undefined;
  }
  if (!isProduct(node)) return undefined;
  const [a = '', b = ''] = node.inputs;
  if (context.isConstant(a) === context.isConstant(b)) return undefined;
  const data = context.isConstant(a) ? b : a;
  if (context.shape(data) === undefined) return 'the shape of its input is unknown';
  const weight = context.shape(context.isConstant(a) ? a : b);
  const isGrouped = node.opType === 'Conv' && weight?.[1] !== 1;
  const spread = isGrouped ? ruleOf(node)?.follow(node, at(0), context.of(node)) : undefined;
  return typeof spread === 'string' ? spread : undefined;
}

/** Numbers the units in the order in which the seed reads them. */
function makeGroup(seed: Seed, reach: Reach, name: string): PruneGroup | string {
  const numbers = new Map<number, number>();
  for (let index = 0; index < seed.count; index++) {
    const unit = reach.units.find(index);
    if (!numbers.has(unit)) numbers.set(unit, numbers.size);
  }
  const axes = reach.places.map(
    (place): GroupAxis => ({
      ...place,
      units: place.units.map((unit) => numbers.get(reach.units.find(unit)) ?? NO_UNIT),
    }),
  );
  if (numbers.size < 2) return 'all channels are one unit';
  if (numbers.size % reach.equalBlocks !== 0) {
    return `${numbers.size} units do not divide into ${reach.equalBlocks} equal stretches`;
  }
  return {
    name,
    kind: reach.kind,
    unitCount: numbers.size,
    blockCount: reach.equalBlocks,
    axes,
    copies: reach.copies,
    consumers: reach.consumers,
  };
}

/** The module that holds the product: `model.layers.0.mlp.down_proj` lies in `model.layers.0.mlp`. */
function groupName(context: GraphContext, node: Node): string {
  const weight = [1, 0]
    .map((index) => node.inputs[index] ?? '')
    .find((value) => context.isConstant(value));
  const tensor = context.view.graph.initializers.get(context.view.origin(weight ?? ''));
  const others = context.view
    .uses(operandValue(node, { side: 'output', index: 0 }))
    .map((use) => use.node);
  const layer = layerName({ node, others, weight: tensor });
  return layer.split('.').slice(0, -1).join('.') || layer;
}

function freeName(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let suffix = 2; taken.has(name); suffix++) name = `${wanted}_${suffix}`;
  taken.add(name);
  return name;
}

/** A KV cache has its heads on axis 1 and may lose some: the caller passes back what the model gave out. */
function cacheAxes({ view }: GraphContext): MayResize {
  const { inputs, outputs } = view.graph;
  const caches = inputs.map(({ name }) => name).filter((name) => roleOf(name) === 'cache');
  const outputNames = outputs.map(({ name }) => name);
  const resizable = new Set(caches);
  for (const cache of caches) {
    const present = presentOf(cache, outputNames);
    if (present !== undefined) resizable.add(present);
  }
  return (value, axis) => {
    const rank = view.facts(value).shape?.length;
    return rank !== undefined && rank >= 4 && resizable.has(value) && axis === rank - 3;
  };
}
