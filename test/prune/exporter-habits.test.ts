/** What exporters make of models that share, pack or flatten heads: small graphs in the same spelling. */
import { describe, expect, it } from 'vitest';
import type { GraphBuilder } from './graph-builder.ts';
import {
  dynamicBuilder,
  floatTensor,
  obstacles,
  pruneAndCompare,
  SIZES,
  X,
} from './prune-and-compare.ts';

const SHAPE = ['batch', 'sequence', 8];
const [HEADS, WIDTH] = [4, 8];

function project(builder: GraphBuilder, width: number, x = 'x'): string {
  return builder.op('MatMul', [x, builder.weight(8, width)]);
}

function splitHeads(builder: GraphBuilder, x: string, heads = HEADS): string {
  return builder.transpose(
    builder.op('Reshape', [x, builder.shape('B', 'T', heads, WIDTH)]),
    0,
    2,
    1,
    3,
  );
}

/** softmax(q k' + bias) v, its heads side by side again and projected. */
function attend(builder: GraphBuilder, x: string, bias: string): string {
  const [q, k, v] = [0, 1, 2].map(() =>
    splitHeads(builder, project(builder, HEADS * WIDTH, x)),
  ) as [string, string, string];
  const scores = builder.op('MatMul', [q, builder.transpose(k, 0, 1, 3, 2)]);
  const weights = builder.op('Softmax', [builder.op('Add', [scores, bias])], { axis: -1n });
  return mergeHeads(builder, builder.op('MatMul', [weights, v]));
}

function mergeHeads(builder: GraphBuilder, x: string): string {
  const merged = builder.op('Reshape', [
    builder.transpose(x, 0, 2, 1, 3),
    builder.shape('B', 'T', -1),
  ]);
  return builder.op('MatMul', [merged, builder.weight(HEADS * WIDTH, 8)]);
}

function sizeOf(builder: GraphBuilder, of: string, axis: number): string {
  const at = builder.constant('int64', [], [axis]);
  return builder.op('Gather', [builder.op('Shape', [of]), at], { axis: 0n });
}

describe('heads', () => {
  it('packed before one key and one value head, which are picked by their index (Falcon)', async () => {
    const builder = dynamicBuilder();
    const all = builder.op('Reshape', [
      project(builder, (HEADS + 2) * WIDTH),
      builder.shape('B', 'T', -1, WIDTH),
    ]);
    const slice = [all, builder.ints(0), builder.ints(-2), builder.ints(2)];
    const q = builder.transpose(builder.op('Slice', slice), 0, 2, 1, 3);
    const [k, v] = [-2, -1].map((at) =>
      builder.transpose(builder.op('Gather', [all, builder.ints(at)], { axis: 2n }), 0, 2, 1, 3),
    ) as [string, string];
    const scores = builder.op('MatMul', [q, builder.transpose(k, 0, 1, 3, 2)]);
    const weights = builder.op('Softmax', [scores], { axis: -1n });
    const y = mergeHeads(builder, builder.op('MatMul', [weights, v]));
    const { groups, difference } = await pruneAndCompare(builder.build(SHAPE, { [y]: SHAPE }), {
      x: X,
    });
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
  });

  it('one of which is picked by its index are declined, because that one must stay', async () => {
    const builder = dynamicBuilder();
    const split = splitHeads(builder, project(builder, HEADS * WIDTH));
    const first = builder.op('Gather', [split, builder.constant('int64', [], [0])], { axis: 1n });
    const scaled = builder.op('Mul', [split, builder.op('Unsqueeze', [first, builder.ints(1)])]);
    const y = mergeHeads(builder, scaled);
    const { found, groups } = await pruneAndCompare(builder.build(SHAPE, { [y]: SHAPE }), { x: X });
    expect(groups).toEqual([]);
    expect(obstacles(found)).toEqual([
      expect.stringMatching(/^Gather_\d+: it picks single channels/),
    ]);
  });

  it('flattened into the batch, whose size is rows divided by heads (BLOOM)', async () => {
    const builder = dynamicBuilder();
    const flat = (x: string): string => builder.op('Reshape', [x, builder.shape(-1, 'T', WIDTH)]);
    const [q, k, v] = [0, 1, 2].map(() =>
      flat(splitHeads(builder, project(builder, HEADS * WIDTH))),
    ) as [string, string, string];
    const scores = builder.op('MatMul', [q, builder.transpose(k, 0, 2, 1)]);
    const mixed = builder.op('MatMul', [builder.op('Softmax', [scores], { axis: -1n }), v]);
    const batch = builder.op('Div', [
      sizeOf(builder, mixed, 0),
      builder.constant('int64', [], [HEADS]),
    ]);
    const target = builder.op(
      'Concat',
      [
        builder.op('Unsqueeze', [batch, builder.ints(0)]),
        builder.ints(HEADS),
        builder.runSize('T'),
        builder.ints(WIDTH),
      ],
      { axis: 0n },
    );
    const y = mergeHeads(builder, builder.op('Reshape', [mixed, target]));
    const { groups, difference } = await pruneAndCompare(builder.build(SHAPE, { [y]: SHAPE }), {
      x: X,
    });
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
  });

  it('of two layers with one bias by distance go together (T5)', async () => {
    const builder = dynamicBuilder();
    const distances = Array.from({ length: SIZES.T ** 2 }, (_, at) =>
      Math.abs(Math.floor(at / SIZES.T) - (at % SIZES.T)),
    );
    const places = builder.constant('int64', [SIZES.T, SIZES.T], distances);
    const looked = builder.op('Gather', [builder.weight(SIZES.T, HEADS), places], { axis: 0n });
    const bias = builder.op('Unsqueeze', [builder.transpose(looked, 2, 0, 1), builder.ints(0)]);
    const middle = builder.op('Add', ['x', attend(builder, 'x', bias)]);
    const y = builder.op('Add', [middle, attend(builder, middle, bias)]);
    const { groups, difference, pruned } = await pruneAndCompare(
      builder.build(SHAPE, { [y]: SHAPE }),
      { x: X },
    );
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
    expect([...pruned.graph.initializers.values()].map(({ dims }) => dims)).toContainEqual([5, 3]);
  });
});

describe('channels', () => {
  it('of one weight that two layers share go from both (ALBERT)', async () => {
    const builder = dynamicBuilder();
    const [up, bias, down] = [builder.weight(8, 12), builder.weight(12), builder.weight(12, 8)];
    const layer = (x: string): string => {
      const h = builder.op('Relu', [builder.op('Add', [builder.op('MatMul', [x, up]), bias])]);
      return builder.op('Add', [x, builder.op('MatMul', [h, down])]);
    };
    const y = layer(layer('x'));
    const { groups, difference, pruned } = await pruneAndCompare(
      builder.build(SHAPE, { [y]: SHAPE }),
      { x: X },
    );
    expect(groups).toEqual(['ffn 12/1']);
    expect(difference).toBe(0);
    // The matrices stay shared; each layer has a bias of its own.
    expect(
      [...pruned.graph.initializers.values()].map(({ dims }) => dims.join('x')).sort(),
    ).toEqual(['8', '8', '8x8', '8x8']);
  });

  it('behind padding that TorchScript computes go through it (MobileNet)', async () => {
    const builder = dynamicBuilder();
    const conv = (x: string, from: number, to: number): string =>
      builder.op('Conv', [x, builder.weight(to, from, 3, 3)], { kernel_shape: [3n, 3n] });
    const pad = (x: string): string => {
      const zeros = builder.op('ConstantOfShape', [builder.ints(4)]);
      const all = builder.op(
        'Concat',
        [builder.ints(1, 1, 1, 1), builder.op('Cast', [zeros], { to: 7n })],
        { axis: 0n },
      );
      const pairs = builder.op('Reshape', [all, builder.ints(-1, 2)]);
      const back = [builder.ints(-1), builder.ints(-(2 ** 40)), builder.ints(0), builder.ints(-1)];
      const turned = builder.transpose(builder.op('Slice', [pairs, ...back]), 1, 0);
      return builder.op('Pad', [x, builder.op('Reshape', [turned, builder.ints(-1)])]);
    };
    const h = builder.op('Relu', [conv('x', 3, 6)]);
    const y = conv(pad(h), 6, 5);
    const shape = ['batch', 3, 6, 6];
    const { groups, difference } = await pruneAndCompare(
      builder.build(shape, { [y]: ['batch', 5, 4, 4] }),
      { x: floatTensor(3, 2, 3, 6, 6) },
    );
    expect(groups).toEqual(['channels 6/1']);
    // A convolution sums in blocks that begin elsewhere after the cut.
    expect(difference).toBeLessThan(1e-6);
  });

  it('in groups that are normalised together go by whole groups (GroupNorm of torch)', async () => {
    const builder = dynamicBuilder();
    const conv = (x: string, from: number, to: number): string =>
      builder.op('Conv', [x, builder.weight(to, from, 1, 1)], { kernel_shape: [1n, 1n] });
    const made = conv('x', 3, 8);
    const grouped = builder.op('Reshape', [made, builder.ints(0, 4, -1)]);
    const ones = builder.constant('float32', [4], [1, 1, 1, 1]);
    const zeros = builder.constant('float32', [4], [0, 0, 0, 0]);
    const normal = builder.op('InstanceNormalization', [grouped, ones, zeros]);
    const back = builder.op('Reshape', [normal, builder.op('Shape', [made])]);
    const scaled = builder.op('Mul', [back, builder.weight(8, 1, 1)]);
    const y = conv(
      builder.op('Relu', [builder.op('Add', [scaled, builder.weight(8, 1, 1)])]),
      8,
      5,
    );
    const shape = ['batch', 3, 6, 6];
    const { groups, difference } = await pruneAndCompare(
      builder.build(shape, { [y]: ['batch', 5, 6, 6] }),
      { x: floatTensor(3, 2, 3, 6, 6) },
    );
    expect(groups).toEqual(['channels 4/1']);
    expect(difference).toBeLessThan(1e-6);
  });
});
