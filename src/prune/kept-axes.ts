import type { Dim, Node } from '../ir/model.ts';
import { divideDims, multiplyDims } from '../ops/dim.ts';
import { leastCommonMultiple, NO_UNIT } from './axis-rule.ts';
import type { Place } from './follow-units.ts';
import type { GraphContext } from './graph-context.ts';
import type { PruneGroup } from './group.ts';

/** Units that go from a group. */
export interface Cut {
  readonly group: PruneGroup;
  /** Ascending. */
  readonly removed: readonly number[];
}

/** Which indices of each axis stay when several groups are cut. */
export interface KeptAxes {
  /** Returns the axes of a value, as a node reads it, that lose indices; each with a pattern of what stays. */
  of(
    value: string,
    reader?: { readonly node: Node; readonly index: number },
  ): ReadonlyMap<number, Uint8Array>;
  /** Returns a shape after the cut. */
  shape(
    value: string,
    before: readonly Dim[],
    reader?: { readonly node: Node; readonly index: number },
  ): readonly Dim[];
  /** Says whether an axis loses indices, or copies of what does. */
  shrinks(
    value: string,
    axis: number,
    reader?: { readonly node: Node; readonly index: number },
  ): boolean;
  /** Says whether any axis does. */
  touches(value: string, reader?: { readonly node: Node; readonly index: number }): boolean;
  /** Every place that loses indices. */
  readonly places: readonly Place[];
}

/** Returns what stays along every axis; a place that several groups share loses what any of them removes. */
export function keptAxes(context: GraphContext, cuts: readonly Cut[]): KeptAxes {
  const patterns = new Map<string, Map<number, Uint8Array>>();
  const places = new Map<string, Place>();
  const copies = new Map<string, Map<number, number>>();
  const keyOf = ({ value, reader }: Place): string =>
    reader === undefined ? value : `${value} ${context.view.position(reader.node)}:${reader.index}`;
  for (const { group, removed } of cuts) {
    if (removed.length === 0) continue;
    const gone = new Set(removed);
    for (const { value, reader, axis, units } of group.axes) {
      const place = reader === undefined ? { value } : { value, reader };
      const pattern = Uint8Array.from(units, (unit) =>
        unit !== NO_UNIT && gone.has(unit) ? 0 : 1,
      );
      if (pattern.every((stays) => stays === 1)) continue;
      const axes = patterns.get(keyOf(place)) ?? new Map<number, Uint8Array>();
      axes.set(axis, both(axes.get(axis), pattern));
      patterns.set(keyOf(place), axes);
      places.set(keyOf(place), place);
    }
    for (const { value, axis } of group.copies) {
      const axes = copies.get(value) ?? new Map<number, number>();
      copies.set(value, axes.set(axis, removed.length / group.blockCount));
    }
  }
  const of: KeptAxes['of'] = (value, reader) =>
    (reader === undefined ? undefined : patterns.get(keyOf({ value, reader }))) ??
    patterns.get(value) ??
    new Map();
  return {
    of,
    shape(value, before, reader) {
      const axes = of(value, reader);
      return before.map((dim, axis) => {
        const pattern = axes.get(axis);
        const fewer = copies.get(value)?.get(axis);
        if (fewer !== undefined && typeof dim === 'number') return dim - fewer;
        return pattern === undefined ? dim : shortened(dim, pattern);
      });
    },
    shrinks: (value, axis, reader) =>
      of(value, reader).has(axis) || (copies.get(value)?.has(axis) ?? false),
    touches: (value, reader) => of(value, reader).size > 0 || copies.has(value),
    places: [...places.values()],
  };
}

/** What stays in both patterns, repeated until both begin anew together. */
function both(a: Uint8Array | undefined, b: Uint8Array): Uint8Array {
  if (a === undefined) return b;
  const length = leastCommonMultiple(a.length, b.length);
  return Uint8Array.from({ length }, (_, index) => a[index % a.length]! & b[index % b.length]!);
}

function shortened(dim: Dim, pattern: Uint8Array): Dim {
  const kept = pattern.reduce((sum, stays) => sum + stays, 0);
  const repeats = dim === undefined ? 1 : divideDims(dim, pattern.length);
  return dim === undefined ? undefined : multiplyDims(repeats, kept);
}

/** Returns the indices that stay of an axis of `size`, repeating the pattern. */
export function keptIndices(pattern: Uint8Array, size: number): readonly number[] {
  const kept: number[] = [];
  for (let index = 0; index < size; index++)
    if (pattern[index % pattern.length] === 1) kept.push(index);
  return kept;
}
