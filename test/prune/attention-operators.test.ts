import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { cacheFeeds, withInputs } from './cache-feeds.ts';
import type { GraphBuilder } from './graph-builder.ts';
import { dynamicBuilder, obstacles, pruneAndCompare, SIZES, X } from './prune-and-compare.ts';

const SHAPE = [SIZES.B, SIZES.T, 8];
const MICROSOFT = 'com.microsoft';

function project(builder: GraphBuilder, width: number): string {
  return builder.op('MatMul', ['x', builder.weight(8, width)]);
}

function finish(builder: GraphBuilder, merged: string, width: number): Model {
  const y = builder.op('MatMul', [merged, builder.weight(width, 8)]);
  return builder.build(SHAPE, { [y]: SHAPE });
}

function lengths(builder: GraphBuilder): readonly [string, string] {
  return [
    builder.constant('int32', [SIZES.B], [SIZES.T - 1, SIZES.T - 1]),
    builder.constant('int32', [], [SIZES.T]),
  ];
}

function counts(heads: number, groups: number) {
  return { num_heads: BigInt(heads), kv_num_heads: BigInt(groups) };
}

describe('GroupQueryAttention', () => {
  it('with one key head loses query heads alone', async () => {
    const builder = dynamicBuilder();
    const inputs = [project(builder, 64), project(builder, 16), project(builder, 16), '', ''];
    const out = builder.ops(
      'GroupQueryAttention',
      [...inputs, ...lengths(builder)],
      3,
      counts(4, 1),
      MICROSOFT,
    )[0]!;
    const { groups, difference, pruned } = await pruneAndCompare(finish(builder, out, 64), {
      x: X,
    });
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
    const found = pruned.graph.nodes.find(({ opType }) => opType === 'GroupQueryAttention')!;
    expect(found.attributes.get('num_heads')).toMatchObject({ value: 3n });
    expect(found.attributes.get('kv_num_heads')).toMatchObject({ value: 1n });
  });

  it('whose packed key part is cut from elsewhere is declined, not cut in its query part', async () => {
    const builder = dynamicBuilder();
    const [q, k, v] = [project(builder, 64), project(builder, 32), project(builder, 32)];
    const all = builder.op('Concat', [q, k, v], { axis: 2n });
    const inputs = [all, '', '', '', '', ...lengths(builder)];
    const out = builder.ops('GroupQueryAttention', inputs, 3, counts(4, 2), MICROSOFT)[0]!;
    const attended = builder.op('MatMul', [out, builder.weight(64, 8)]);
    // The values have a second reader, whose channels would take them along.
    const beside = builder.op('MatMul', [v, builder.weight(32, 8)]);
    const y = builder.op('Add', [attended, beside]);
    const { found, groups, difference } = await pruneAndCompare(
      builder.build(SHAPE, { [y]: SHAPE }),
      { x: X },
    );
    expect(groups).toEqual(['heads 4/2']);
    expect(difference).toBe(0);
    expect(obstacles(found)).toEqual([
      expect.stringMatching(
        /^GroupQueryAttention_\d+: key and value heads serve several query heads$/,
      ),
    ]);
  });

  it('takes equally many heads from each key head, its sink and its bias along', async () => {
    const builder = dynamicBuilder();
    const inputs = [project(builder, 96), project(builder, 32), project(builder, 32), '', ''];
    const bias = builder.weight(1, 6, SIZES.T, SIZES.T);
    const more = ['', '', '', bias, builder.weight(6)];
    const all = [...inputs, ...lengths(builder), ...more];
    const out = builder.ops('GroupQueryAttention', all, 3, counts(6, 2), MICROSOFT)[0]!;
    const { groups, difference, pruned } = await pruneAndCompare(finish(builder, out, 96), {
      x: X,
    });
    expect(groups).toEqual(['heads 6/2']);
    expect(difference).toBe(0);
    const dims = [...pruned.graph.initializers.values()].map((tensor) => tensor.dims.join('x'));
    expect(dims).toEqual(expect.arrayContaining(['4', '1x4x5x5', '8x64', '64x8', '8x32']));
  });
});

describe('MultiHeadAttention', () => {
  it('with keys and values that come as heads, its bias and its cache, loses heads everywhere', async () => {
    const builder = dynamicBuilder();
    const names = ['past_key_values.0.key', 'past_key_values.0.value'];
    const cache = [SIZES.B, 4, 3, 8];
    const scores = builder.weight(1, 4, SIZES.T, SIZES.T + 3);
    const bias = builder.weight(3 * 32);
    const inputs = [0, 1, 2].map(() => project(builder, 32));
    const out = builder.ops(
      'MultiHeadAttention',
      [...inputs, bias, '', scores, ...names],
      3,
      { num_heads: 4n },
      MICROSOFT,
    )[0]!;
    const { feeds, after } = cacheFeeds(names, cache, 1);
    const model = withInputs(finish(builder, out, 32), names, cache);
    const { groups, difference, pruned } = await pruneAndCompare(model, feeds, after);
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
    expect(
      pruned.graph.inputs.slice(1).map(({ type }) => type?.kind === 'tensor' && type.shape),
    ).toEqual([
      [2, 3, 3, 8],
      [2, 3, 3, 8],
    ]);
  });
});

describe('Attention of com.microsoft', () => {
  it('with a value width of its own states all three widths', async () => {
    const builder = dynamicBuilder();
    const inputs = ['x', builder.weight(8, 4 * (8 + 8 + 16)), builder.weight(4 * (8 + 8 + 16))];
    const out = builder.op(
      'Attention',
      inputs,
      { num_heads: 4n, qkv_hidden_sizes: [32n, 32n, 64n] },
      MICROSOFT,
    );
    const { groups, difference, pruned } = await pruneAndCompare(finish(builder, out, 64), {
      x: X,
    });
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
    const found = pruned.graph.nodes.find(({ opType }) => opType === 'Attention')!;
    expect(found.attributes.get('qkv_hidden_sizes')).toMatchObject({ value: [24n, 24n, 48n] });
  });

  it('with a cache loses heads there, too', async () => {
    const builder = dynamicBuilder();
    const cache = [2, SIZES.B, 4, 3, 8];
    const inputs = ['x', builder.weight(8, 96), builder.weight(96), '', 'past_0'];
    const [out = '', present = ''] = builder.ops(
      'Attention',
      inputs,
      2,
      { num_heads: 4n },
      MICROSOFT,
    );
    const { feeds, after } = cacheFeeds(['past_0'], cache, 2);
    const model = withInputs(finish(builder, out, 32), ['past_0'], cache);
    const { groups, difference, pruned } = await pruneAndCompare(model, feeds, after);
    expect(present).not.toBe('');
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
    expect(pruned.graph.inputs[1]!.type).toMatchObject({ shape: [2, 2, 3, 3, 8] });
  });
});
