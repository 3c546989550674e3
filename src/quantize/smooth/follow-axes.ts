import { intsAttribute } from '../../ir/attributes.ts';
import type { Dim, Node } from '../../ir/model.ts';
import { numbersOf, positiveAxis } from '../../ops/op-spec.ts';
import { type GraphView, isOp } from '../../passes/graph-view.ts';
import { pickedRange } from './picked-range.ts';

/**
 * A factor of an axis. Those with a stride count channels of a layer: moving one step along them
 * moves `stride` channels; 0 where the same channels are repeated. Others are batch or sequence.
 */
export interface AxisFactor {
  readonly size: Dim;
  readonly stride?: number;
}

/** Where the channels of a layer lie in a value: the factors of each axis, slowest first. */
export interface ChannelLayout {
  readonly axes: readonly (readonly AxisFactor[])[];
  /** Channel at index 0 of every factor. */
  readonly first: number;
}

/** Returns the layout of a layer's output: channels along the last axis. */
export function layerLayout(shape: readonly Dim[], channels: number): ChannelLayout {
  const axes = shape.slice(0, -1).map((size) => [{ size }]);
  return { axes: [...axes, [{ size: channels, stride: 1 }]], first: 0 };
}

/** Returns the channel at each index of the last axis, or undefined when it has other factors too. */
export function channelsAlongLastAxis({ axes, first }: ChannelLayout): Int32Array | undefined {
  const clean = axes.slice(0, -1).every((axis) => axis.every(({ stride }) => stride === undefined));
  let channels: number[] = [first];
  for (const { size, stride } of axes.at(-1) ?? []) {
    if (typeof size !== 'number' || stride === undefined) return undefined;
    channels = channels.flatMap((channel) =>
      Array.from({ length: size }, (_, index) => channel + index * stride),
    );
  }
  return clean ? Int32Array.from(channels) : undefined;
}

/** Returns the layout behind a node that moves elements, or undefined when it cannot be told. */
export function followNode(
  view: GraphView,
  layout: ChannelLayout,
  node: Node,
  output: string,
): ChannelLayout | undefined {
  if (isOp(node, 'Identity', 'Cast', 'Dropout')) return layout;
  if (isOp(node, 'Transpose')) return transpose(layout, intsAttribute(node, 'perm'));
  if (isOp(node, 'Split', 'Slice', 'Gather')) return pick(view, layout, node, output);
  const shape = view.facts(output).shape;
  if (shape === undefined) return undefined;
  if (isOp(node, 'Unsqueeze')) return unsqueeze(view, layout, node, shape.length);
  if (isOp(node, 'Expand')) return expand(layout, shape);
  return isOp(node, 'Reshape', 'Flatten', 'Squeeze') ? reshape(layout, shape) : undefined;
}

function transpose(
  { axes, first }: ChannelLayout,
  perm: readonly number[] | undefined,
): ChannelLayout | undefined {
  const order = perm ?? axes.map((_, axis) => axes.length - 1 - axis);
  const moved = order.map((axis) => axes[axis]);
  return moved.every((axis) => axis !== undefined) ? { axes: moved, first } : undefined;
}

function pick(
  view: GraphView,
  { axes, first }: ChannelLayout,
  node: Node,
  output: string,
): ChannelLayout | undefined {
  const range = pickedRange(view, node, output);
  const [factor, ...others] = axes[range?.axis ?? -1] ?? [];
  if (range === undefined || factor?.stride === undefined || others.length > 0) return undefined;
  const taken: AxisFactor[] = [{ size: range.count, stride: factor.stride }];
  const kept = axes.flatMap((axis, index) =>
    index !== range.axis ? [axis] : range.drops ? [] : [taken],
  );
  return { axes: kept, first: first + range.first * factor.stride };
}

function unsqueeze(
  view: GraphView,
  { axes, first }: ChannelLayout,
  node: Node,
  rank: number,
): ChannelLayout | undefined {
  const listed = intsAttribute(node, 'axes') ?? numbersOf(view.facts(node.inputs[1] ?? ''));
  if (listed === undefined) return undefined;
  const added = new Set(listed.map((axis) => positiveAxis(axis, rank)));
  const rest = [...axes];
  const all = Array.from({ length: rank }, (_, axis) =>
    added.has(axis) ? [{ size: 1 }] : rest.shift(),
  );
  return all.every((axis) => axis !== undefined) ? { axes: all, first } : undefined;
}

/** An axis of size 1 that grows repeats the same channels. */
function expand({ axes, first }: ChannelLayout, shape: readonly Dim[]): ChannelLayout | undefined {
  if (axes.length !== shape.length) return undefined;
  const grown = axes.map((axis, index): readonly AxisFactor[] => {
    const size = shape[index];
    const isOne = axis.length === 1 && axis[0]!.size === 1 && size !== 1;
    return isOne && typeof size === 'number' ? [{ size, stride: 0 }] : axis;
  });
  return { axes: grown, first };
}

/** Takes factors from the right until each new axis has its size; a factor may be cut in two. */
function reshape({ axes, first }: ChannelLayout, shape: readonly Dim[]): ChannelLayout | undefined {
  const pending = axes.flat().filter(({ size }) => size !== 1);
  const made: (readonly AxisFactor[])[] = [];
  for (const size of shape.toReversed()) {
    const axis = typeof size === 'number' ? takeSize(pending, size) : takeUnknown(pending);
    if (axis === undefined) return undefined;
    made.unshift(axis);
  }
  return pending.length === 0 ? { axes: made, first } : undefined;
}

function takeUnknown(pending: AxisFactor[]): readonly AxisFactor[] | undefined {
  const last = pending.pop();
  // A symbol may stand for 1, and then nothing is there to take.
  if (last === undefined) return [];
  return typeof last.size === 'number' ? undefined : [last];
}

function takeSize(pending: AxisFactor[], size: number): readonly AxisFactor[] | undefined {
  const axis: AxisFactor[] = [];
  for (let missing = size; missing > 1; ) {
    const last = pending.pop();
    if (last === undefined || typeof last.size !== 'number') return undefined;
    if (missing % last.size === 0) {
      axis.unshift(last);
      missing /= last.size;
    } else if (last.size % missing === 0 && last.stride !== undefined) {
      pending.push({ size: last.size / missing, stride: last.stride * missing });
      axis.unshift({ size: missing, stride: last.stride });
      missing = 1;
    } else return undefined;
  }
  return axis.length === 0 ? [{ size: 1 }] : axis;
}
