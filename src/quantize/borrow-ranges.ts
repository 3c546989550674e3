import { type Body, bodyOf, type OpenedModel } from '../passes/open-bodies.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';
import type { ActivationRange, ActivationRanges } from './quantization-plan.ts';

/** A range that stands in for one that calibration has not seen. */
export interface BorrowedRange {
  readonly range: ActivationRange;
  /** The branch that it was seen in. */
  readonly from: string;
}

/**
 * Returns, by layer, the ranges of layers in a branch of If that no sample took, where the other branch has the
 * same weight and was seen: the two branches of a merged decoder are one network, before and after
 * there is a cache.
 */
export function borrowRanges(
  opened: OpenedModel,
  layers: readonly LinearLayer[],
  ranges: ActivationRanges,
): ReadonlyMap<LinearLayer, BorrowedRange> {
  const borrowed = new Map<LinearLayer, BorrowedRange>();
  for (const layer of layers) {
    const body = bodyOf(opened, layer.node);
    if (body === undefined || isSeen(ranges.get(layer.input))) continue;
    const twin = layers.find(
      (other) =>
        other.weight.initializer === layer.weight.initializer &&
        isSeen(ranges.get(other.input)) &&
        areBranches(body, bodyOf(opened, other.node)),
    );
    const range = ranges.get(twin?.input ?? '');
    if (twin === undefined || range === undefined) continue;
    borrowed.set(layer, { range, from: bodyOf(opened, twin.node)?.label ?? '' });
  }
  return borrowed;
}

function isSeen(range: ActivationRange | undefined): boolean {
  return range !== undefined && Number.isFinite(range.max - range.min) && range.max > range.min;
}

/** Says whether two bodies lie in different branches of one If. */
function areBranches(a: Body, b: Body | undefined): boolean {
  for (let at: Body | undefined = a; at !== undefined; at = at.parent) {
    for (let other = b; other !== undefined; other = other.parent) {
      if (at.opType === 'If' && at !== other && at.owner === other.owner) return true;
    }
  }
  return false;
}
