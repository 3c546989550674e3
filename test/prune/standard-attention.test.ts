import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { value } from '../kit/models.ts';
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

describe('Attention of ai.onnx', () => {
  it('in three axes keeps its default scale, because heads go and widths stay', async () => {
    const builder = dynamicBuilder(23);
    const inputs = [project(builder, 64), project(builder, 32), project(builder, 64)];
    // Heads of 16 for queries and keys, of 32 for values.
    const mask = builder.weight(4, SIZES.T, SIZES.T);
    const out = builder.op('Attention', [...inputs, mask], { q_num_heads: 4n, kv_num_heads: 2n });
    const { groups, difference, pruned } = await pruneAndCompare(finish(builder, out, 128), {
      x: X,
    });
    expect(groups).toEqual(['heads 4/2']);
    expect(difference).toBe(0);
    const found = pruned.graph.nodes.find(({ opType }) => opType === 'Attention')!;
    expect(found.attributes.has('scale')).toBe(false);
    expect(found.attributes.get('q_num_heads')).toMatchObject({ value: 2n });
    expect(found.attributes.get('kv_num_heads')).toMatchObject({ value: 2n });
  });

  it('with a cache loses key heads where each query head has its own', async () => {
    const builder = dynamicBuilder(23);
    const names = ['past_key_values.0.key', 'past_key_values.0.value'];
    const cache = [SIZES.B, 4, 3, 8];
    const inputs = [0, 1, 2].map(() => project(builder, 32));
    const counted = { q_num_heads: 4n, kv_num_heads: 4n };
    const out = builder.ops('Attention', [...inputs, '', ...names], 3, counted)[0]!;
    const { feeds, after } = cacheFeeds(names, cache, 1);
    const model = withInputs(finish(builder, out, 32), names, cache);
    const { groups, difference } = await pruneAndCompare(model, feeds, after);
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
  });

  it('in three axes without a known width is declined by name', async () => {
    const builder = dynamicBuilder(23);
    const query = builder.op('Reshape', [project(builder, 32), 'target']);
    const out = builder.op('Attention', [query, project(builder, 32), project(builder, 32)], {
      q_num_heads: 4n,
      kv_num_heads: 4n,
    });
    const model = finish(builder, out, 32);
    const inputs = [...model.graph.inputs, value('target', 'int64', [3])];
    const target = new OrtTensor('int64', BigInt64Array.of(2n, 5n, 32n), [3]);
    const { found, groups } = await pruneAndCompare(
      { ...model, graph: { ...model.graph, inputs } },
      { x: X, target },
    );
    expect(groups).toEqual([]);
    expect(obstacles(found)).toEqual([
      expect.stringMatching(/^Attention_\d+: the width of a head is unknown$/),
    ]);
  });

  it('with a mask whose heads cannot be told is declined by name', async () => {
    const builder = dynamicBuilder(23);
    const mask = builder.op('Expand', [builder.weight(1, 1, SIZES.T, SIZES.T), 'target']);
    const out = builder.op('Attention', [...[0, 1, 2].map(() => project(builder, 32)), mask], {
      q_num_heads: 4n,
      kv_num_heads: 4n,
    });
    const model = finish(builder, out, 32);
    const inputs = [...model.graph.inputs, value('target', 'int64', [4])];
    const target = new OrtTensor('int64', BigInt64Array.of(1n, 4n, 5n, 5n), [4]);
    const { found, groups } = await pruneAndCompare(
      { ...model, graph: { ...model.graph, inputs } },
      { x: X, target },
    );
    expect(groups).toEqual([]);
    expect(obstacles(found)[0]).toMatch(
      /^Attention_\d+: the shape of its additive bias is unknown/,
    );
  });
});

describe('RotaryEmbedding', () => {
  it.each(['', MICROSOFT])(
    'of "%s" with heads as an axis counts those that are left',
    async (domain) => {
      const builder = dynamicBuilder(23);
      const [heads, width] = [4, 8];
      const split = (): string =>
        builder.transpose(
          builder.op('Reshape', [
            project(builder, heads * width),
            builder.shape('B', 'T', heads, width),
          ]),
          0,
          2,
          1,
          3,
        );
      const positions = builder.constant(
        'int64',
        [SIZES.B, SIZES.T],
        [...Array(10).keys()].map((at) => at % SIZES.T),
      );
      const [cos, sin] = [builder.weight(16, width / 2), builder.weight(16, width / 2)];
      const turn = (of: string): string =>
        builder.op(
          'RotaryEmbedding',
          domain === '' ? [of, cos, sin, positions] : [of, positions, cos, sin],
          { num_heads: BigInt(heads), rotary_embedding_dim: 0n },
          domain,
        );
      const out = builder.op('Attention', [turn(split()), turn(split()), split()]);
      const merged = builder.op('Reshape', [
        builder.transpose(out, 0, 2, 1, 3),
        builder.shape('B', 'T', -1),
      ]);
      const { groups, difference } = await pruneAndCompare(finish(builder, merged, heads * width), {
        x: X,
      });
      expect(groups).toEqual(['heads 4/1']);
      expect(difference).toBe(0);
    },
  );
});
