import { intsAttribute, stringAttribute } from '../ir/attributes.ts';
import { type GraphView, isOp } from '../passes/graph-view.ts';
import { type BiasSlot, biasSlot } from './bias-slot.ts';
import type { Consumer } from './follow-units.ts';

/** Patches of more numbers than this are not looked at whole: 256 channels of 3 x 3. */
const MAX_PATCH = 2304;

/** What a product sums over for one output, as a vector: second moments are of these. */
export interface ConsumerColumns {
  readonly channels: number;
  /**
   * Columns of each channel, side by side: 1 for a matrix, the positions of a filter, or 1 for filters too large
   * for that, whose channels are then told apart but not their positions.
   */
  readonly taps: number;
  /** Sizes of the filter, where its positions are told apart. */
  readonly kernel?: readonly number[] | undefined;
  /** Where a constant goes that is added to the output: then a column of ones comes last. */
  readonly bias: BiasSlot | undefined;
}

/** Returns the columns of a product; undefined when the shape of its weight is not known. */
export function columnsOf(view: GraphView, consumer: Consumer): ConsumerColumns | undefined {
  const { node, weight, weightAxis } = consumer;
  const shape = view.facts(node.inputs[weight] ?? '').shape;
  const channels = shape?.[weightAxis];
  if (shape === undefined || typeof channels !== 'number') return undefined;
  const bias = biasSlot(view, consumer);
  if (!isOp(node, 'Conv')) return { channels, taps: 1, bias };
  const kernel = shape.slice(2).map(Number);
  const taps = kernel.reduce((all, size) => all * size, 1);
  if (taps * channels <= MAX_PATCH) return { channels, taps, kernel, bias };
  // At the border a filter meets padding: what stands in for a channel there is 0, a constant would not be.
  return { channels, taps: 1, bias: isPadded(consumer) ? undefined : bias };
}

function isPadded({ node }: Consumer): boolean {
  const auto = stringAttribute(node, 'auto_pad') ?? 'NOTSET';
  if (auto !== 'NOTSET') return auto !== 'VALID';
  return intsAttribute(node, 'pads')?.some((pad) => pad !== 0) ?? false;
}

/** Returns how many columns there are. */
export function widthOf({ channels, taps, bias }: ConsumerColumns): number {
  return channels * taps + (bias === undefined ? 0 : 1);
}
