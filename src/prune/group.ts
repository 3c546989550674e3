import type { Node } from '../ir/model.ts';
import type { AxisUnits } from './axis-rule.ts';
import type { Consumer, Place } from './follow-units.ts';

/** What units are: hidden channels of a feed-forward network, attention heads, channels of convolutions. */
export const GROUP_KINDS = ['ffn', 'heads', 'channels'] as const;

/** One of {@link GROUP_KINDS}. */
export type GroupKind = (typeof GROUP_KINDS)[number];

/** Which unit, counted from 0, lies at each index along one axis of a place. */
export interface GroupAxis extends Place {
  readonly axis: number;
  readonly units: AxisUnits;
}

/** Units that can be removed from a graph without touching anything else. */
export interface PruneGroup {
  /** Module path of what holds the units, e.g. `model.layers.0.mlp`. */
  readonly name: string;
  readonly kind: GroupKind;
  /** How many there are. */
  readonly unitCount: number;
  /** Units lie in so many equal stretches in order and leave each in equal numbers (query heads of a KV head). */
  readonly blockCount: number;
  /** Every place in which units lie. */
  readonly axes: readonly GroupAxis[];
  /** Axes of copies of KV heads, one for each query head of a stretch. */
  readonly copies: readonly { readonly value: string; readonly axis: number }[];
  /** The products that sum over the units. */
  readonly consumers: readonly Consumer[];
}

/** A product whose input channels cannot go, and why. */
export interface DeclinedGroup {
  /** Module path of the product. */
  readonly name: string;
  /** The node in the way. */
  readonly node: string;
  readonly reason: string;
}

/** All groups of a model, in node order of their first consumer. */
export interface PruneGroups {
  readonly groups: readonly PruneGroup[];
  readonly declined: readonly DeclinedGroup[];
}

/** Returns the unit at each index of the weight that a consumer sums over. */
export function consumedUnits(group: PruneGroup, consumer: Consumer): AxisUnits {
  const value = consumer.node.inputs[consumer.weight];
  const found = group.axes.find(
    (entry) =>
      entry.value === value &&
      entry.axis === consumer.weightAxis &&
      (entry.reader === undefined || isReader(entry, consumer.node, consumer.weight)),
  );
  if (found === undefined) throw new Error(`${group.name}: the weight of a consumer has no units`);
  return found.units;
}

function isReader({ reader }: GroupAxis, node: Node, index: number): boolean {
  return reader?.node === node && reader.index === index;
}
