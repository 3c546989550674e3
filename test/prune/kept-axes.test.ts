import { describe, expect, it } from 'vitest';
import { graphContext } from '../../src/prune/graph-context.ts';
import type { GroupAxis, PruneGroup } from '../../src/prune/group.ts';
import { keptAxes, keptIndices } from '../../src/prune/kept-axes.ts';
import { floats, model, node, value } from '../kit/models.ts';

const product = node('MatMul', ['x', 'w'], 'y');
const context = graphContext(
  model({
    nodes: [product],
    initializers: [floats('w', [4, 2], Array(8).fill(1))],
    inputs: [value('x', 'float32', ['n', 4])],
    outputs: [value('y', 'float32', ['n', 2])],
  }),
);

function group(
  unitCount: number,
  axes: readonly GroupAxis[],
  more: Partial<PruneGroup> = {},
): PruneGroup {
  return {
    name: 'g',
    kind: 'ffn',
    unitCount,
    blockCount: 1,
    axes,
    copies: [],
    consumers: [],
    ...more,
  };
}

function at(name: string, axis: number, ...units: readonly number[]): GroupAxis {
  return { value: name, axis, units: Int32Array.from(units) };
}

const pattern = (found: ReadonlyMap<number, Uint8Array>, axis: number) => [
  ...(found.get(axis) ?? []),
];

describe('keptAxes', () => {
  it('marks what stays along each axis of each place', () => {
    const units = group(2, [at('x', 1, 0, 0, 1, 1), at('x', 0, -1, -1)]);
    const kept = keptAxes(context, [{ group: units, removed: [0] }]);
    expect(pattern(kept.of('x'), 1)).toEqual([0, 0, 1, 1]);
    // No unit lies along axis 0.
    expect(kept.of('x').has(0)).toBe(false);
    expect(kept.shape('x', ['n', 4])).toEqual(['n', 2]);
    expect([
      kept.touches('x'),
      kept.touches('y'),
      kept.shrinks('x', 1),
      kept.shrinks('x', 0),
    ]).toEqual([true, false, true, false]);
  });

  it('removes nothing where nothing is removed', () => {
    const kept = keptAxes(context, [{ group: group(2, [at('x', 1, 0, 0, 1, 1)]), removed: [] }]);
    expect(kept.of('x').size).toBe(0);
    expect(kept.places).toEqual([]);
  });

  it('adds up what two groups take from one axis', () => {
    const [first, second] = [
      group(2, [at('x', 1, 0, 1, -1, -1)]),
      group(2, [at('x', 1, -1, -1, 0, 1)]),
    ];
    const kept = keptAxes(context, [
      { group: first, removed: [1] },
      { group: second, removed: [0] },
    ]);
    expect(pattern(kept.of('x'), 1)).toEqual([1, 0, 0, 1]);
  });

  it('repeats two rhythms until both begin anew: of six, every second and the third of three', () => {
    const [pairs, triples] = [group(2, [at('x', 0, 0, 1)]), group(3, [at('x', 0, 0, 1, 2)])];
    const kept = keptAxes(context, [
      { group: pairs, removed: [1] },
      { group: triples, removed: [2] },
    ]);
    // Stays where both stay: 0, 4 of 0..5 (1, 3, 5 are second of two, 2 and 5 third of three).
    expect(pattern(kept.of('x'), 0)).toEqual([1, 0, 0, 0, 1, 0]);
    expect(kept.shape('x', ['6*batch', 4])).toEqual(['2*batch', 4]);
    expect(kept.shape('x', [12, 4])).toEqual([4, 4]);
    expect(keptIndices(kept.of('x').get(0)!, 12)).toEqual([0, 4, 6, 10]);
  });

  it('cuts a stored tensor for the one reader it is meant for', () => {
    const reader = { node: product, index: 1 };
    const units = group(4, [{ ...at('w', 0, 0, 1, 2, 3), reader }]);
    const kept = keptAxes(context, [{ group: units, removed: [3] }]);
    expect(kept.of('w').size).toBe(0);
    expect(pattern(kept.of('w', reader), 0)).toEqual([1, 1, 1, 0]);
    expect(kept.shape('w', [4, 2], reader)).toEqual([3, 2]);
  });

  it('takes from an axis of copies as many as go from each stretch', () => {
    const units = group(6, [], { blockCount: 2, copies: [{ value: 'x', axis: 1 }] });
    const kept = keptAxes(context, [{ group: units, removed: [0, 4] }]);
    expect(kept.shape('x', ['n', 3])).toEqual(['n', 2]);
    expect([kept.touches('x'), kept.shrinks('x', 1)]).toEqual([true, true]);
  });
});
