import type { Node } from '../ir/model.ts';
import { nodeLabel } from '../ir/node-label.ts';
import {
  type AxisUnits,
  type LabelledAxis,
  NO_UNIT,
  type Operand,
  type Spread,
  unitsOver,
} from './axis-rule.ts';
import { type GraphContext, operandValue } from './graph-context.ts';
import { ruleOf } from './rules/index.ts';
import { type UnitClasses, unitClasses } from './unit-classes.ts';

/** A place in which units lie: a value, or a stored tensor as one node reads it. */
export interface Place {
  readonly value: string;
  /** The one reader for whom a stored tensor is meant; others keep theirs. */
  readonly reader?: { readonly node: Node; readonly index: number };
}

/** Units along one axis of a place. */
export interface PlacedUnits extends Place {
  readonly axis: number;
  readonly units: AxisUnits;
}

/** A node that sums over the units with a constant weight. */
export interface Consumer {
  readonly node: Node;
  /** Input positions of the activation and of the weight. */
  readonly data: number;
  readonly weight: number;
  /** Axes of the activation and of the weight, as the node reads them, over which it sums. */
  readonly dataAxis: number;
  readonly weightAxis: number;
}

/** Everything that units reach. */
export interface Reach {
  readonly units: UnitClasses;
  readonly places: readonly PlacedUnits[];
  readonly consumers: readonly Consumer[];
  /** Axes of copies, by value. */
  readonly copies: readonly { readonly value: string; readonly axis: number }[];
  /** Stretches that lose equally many units; 1 when there is no such rule. */
  readonly equalBlocks: number;
  readonly kind: 'ffn' | 'heads' | 'channels';
}

/** Why units cannot go: the node in the way and a reason. */
export interface Obstacle {
  readonly node: string;
  readonly reason: string;
}

/** The place of a graph input or output that may change its shape: a KV cache. */
export type MayResize = (value: string, axis: number) => boolean;

interface Search {
  readonly context: GraphContext;
  readonly classes: UnitClasses;
  readonly placed: Map<string, PlacedUnits>;
  readonly pending: PlacedUnits[];
  readonly consumers: Map<Node, Consumer>;
  readonly copies: Map<string, { readonly value: string; readonly axis: number }>;
  blocks: number;
  kind: Reach['kind'];
}

/**
 * Returns all that `count` units along an axis of a value reach through the graph, in both directions, or the
 * first node that stands in the way. Units that some node cannot tell apart are joined.
 */
export function followUnits(
  context: GraphContext,
  start: { readonly value: string; readonly axis: number; readonly count: number },
  mayResize: MayResize,
): Reach | Obstacle {
  const search: Search = {
    context,
    classes: unitClasses(start.count),
    placed: new Map(),
    pending: [],
    consumers: new Map(),
    copies: new Map(),
    blocks: 1,
    kind: 'ffn',
  };
  const units = Int32Array.from({ length: start.count }, (_, unit) => unit);
  const reason = place(search, { value: start.value, axis: start.axis, units });
  if (reason !== undefined) return { node: start.value, reason };
  for (let at = search.pending.pop(); at !== undefined; at = search.pending.pop()) {
    const obstacle = atInterface(search, at, mayResize) ?? visitNodes(search, at);
    if (obstacle !== undefined) return obstacle;
  }
  return {
    units: search.classes,
    places: [...search.placed.values()],
    consumers: [...search.consumers.values()],
    copies: [...search.copies.values()],
    equalBlocks: search.blocks,
    kind: search.kind,
  };
}

function atInterface(search: Search, at: PlacedUnits, mayResize: MayResize): Obstacle | undefined {
  const { view } = search.context;
  const isInput = view.graph.inputs.some(({ name }) => name === at.value);
  if (!isInput && !view.isOutput(at.value)) return undefined;
  // A copy for its reader leaves what the model gives out as it is.
  const isOwn =
    search.context.isStored(at.value) && (at.reader !== undefined || !view.isOutput(at.value));
  if (isOwn || mayResize(at.value, at.axis)) return undefined;
  return { node: at.value, reason: `it is an ${isInput ? 'input' : 'output'} of the model` };
}

function visitNodes(search: Search, at: PlacedUnits): Obstacle | undefined {
  const { view } = search.context;
  if (at.reader !== undefined) {
    return visit(search, at.reader.node, { side: 'input', index: at.reader.index }, at);
  }
  const producer = view.producer(at.value);
  if (producer !== undefined && !search.context.isStored(at.value)) {
    const index = producer.outputs.indexOf(at.value);
    const obstacle = visit(search, producer, { side: 'output', index }, at);
    if (obstacle !== undefined) return obstacle;
  }
  for (const { node, inputIndex } of view.uses(at.value)) {
    const obstacle = visit(search, node, { side: 'input', index: inputIndex }, at);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

function visit(
  search: Search,
  node: Node,
  operand: Operand,
  at: PlacedUnits,
): Obstacle | undefined {
  const blocked = (reason: string): Obstacle => ({ node: nodeLabel(node), reason });
  if (operand.index < 0) return blocked('a body reads it');
  const rule = ruleOf(node);
  if (rule === undefined) return blocked(`no rule says what ${node.opType} does to the channels`);
  const units = at.units.map((unit) => search.classes.find(unit));
  const labelled: LabelledAxis = { ...operand, axis: at.axis, units };
  const spread = rule.follow(node, labelled, search.context.of(node));
  if (typeof spread === 'string') return blocked(spread);
  return apply(search, node, spread) ?? undefined;
}

function apply(search: Search, node: Node, spread: Spread): Obstacle | undefined {
  const blocked = (reason: string): Obstacle => ({ node: nodeLabel(node), reason });
  if (spread.kind !== undefined) search.kind = spread.kind;
  if (spread.consumes !== undefined) search.consumers.set(node, { node, ...spread.consumes });
  if (spread.equalBlocks !== undefined) {
    if (search.blocks !== 1 && search.blocks !== spread.equalBlocks) {
      return blocked(`heads share keys in ${search.blocks} and in ${spread.equalBlocks} groups`);
    }
    search.blocks = spread.equalBlocks;
  }
  for (const { axis, ...operand } of spread.copies ?? []) {
    const value = operandValue(node, operand);
    search.copies.set(`${axis} ${value}`, { value, axis });
  }
  for (const { axis, units, ...operand } of spread.axes) {
    // A part of a Concat or Split beside the units loses nothing, nor does what reads it.
    if (units.every((unit) => unit === NO_UNIT)) continue;
    const value = operandValue(node, operand);
    const reason = place(search, { ...placeOf(search, node, operand, value), axis, units });
    if (reason !== undefined) return blocked(reason);
  }
  return undefined;
}

/**
 * A stored tensor is cut for the node that reads it, because exporters share equal constants between places
 * that have nothing in common. A shared matrix is one weight: its other readers must agree.
 */
function placeOf(search: Search, node: Node, operand: Operand, value: string): Place {
  const { context } = search;
  if (operand.side === 'output' || !context.isStored(value)) return { value };
  const rank = context.view.facts(value).shape?.length ?? 0;
  const shared = context.view.uses(value).length > 1 && rank >= 2;
  return shared ? { value } : { value, reader: { node, index: operand.index } };
}

/** Adds what is new and joins what differs; a reason when patterns do not fit. */
function place(search: Search, found: PlacedUnits): string | undefined {
  const size = search.context.shape(found.value)?.[found.axis];
  if (typeof size === 'number' && size % found.units.length !== 0)
    return `${found.value} has ${size} along axis ${found.axis} (expected ${found.units.length} channels)`;
  const key = `${found.axis} ${found.value} ${found.reader === undefined ? '' : readerKey(search, found)}`;
  const known = search.placed.get(key);
  if (known === undefined) {
    const next = { ...found, units: Int32Array.from(found.units) };
    search.placed.set(key, next);
    search.pending.push(next);
    return undefined;
  }
  const length = Math.max(known.units.length, found.units.length);
  if (length % known.units.length !== 0 || length % found.units.length !== 0) {
    return 'the channels repeat in two rhythms';
  }
  const units = Int32Array.from(unitsOver(known.units, length));
  let grows = length > known.units.length;
  unitsOver(found.units, length).forEach((unit, index) => {
    if (unit === NO_UNIT) return;
    if (units[index] === NO_UNIT) {
      units[index] = unit;
      grows = true;
    } else search.classes.join(units[index]!, unit);
  });
  if (!grows) return undefined;
  const next = { ...known, units };
  search.placed.set(key, next);
  search.pending.push(next);
  return undefined;
}

function readerKey({ context }: Search, { reader }: PlacedUnits): string {
  return reader === undefined ? '' : `${context.view.position(reader.node)}:${reader.index}`;
}

/** Says whether following ended at an obstacle. */
export function isObstacle(found: Reach | Obstacle): found is Obstacle {
  return 'reason' in found;
}
