import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { attributes } from '../../src/ir/attributes.ts';
import type { Model, ValueInfo } from '../../src/ir/model.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { node, value } from '../kit/models.ts';
import type { GraphBuilder } from './graph-builder.ts';
import { dynamicBuilder, pruneAndCompare, X } from './prune-and-compare.ts';

const SHAPE = ['batch', 'sequence', 8];

function int64(...numbers: readonly number[]): OrtTensor {
  return new OrtTensor('int64', BigInt64Array.from(numbers, BigInt), [numbers.length]);
}

/** relu(x W) with 12 hidden channels. */
function hidden(builder: GraphBuilder): string {
  return builder.op('Relu', [builder.op('MatMul', ['x', builder.weight(8, 12)])]);
}

/** The model with output `y = h W2`, and more inputs. */
function finish(builder: GraphBuilder, h: string, ...inputs: readonly ValueInfo[]): Model {
  const y = builder.op('MatMul', [h, builder.weight(12, 8)]);
  const built = builder.build(SHAPE, { [y]: SHAPE });
  return { ...built, graph: { ...built.graph, inputs: [...built.graph.inputs, ...inputs] } };
}

/** The number of an axis of a value, as a scalar. */
function sizeOf(builder: GraphBuilder, of: string, axis: number): string {
  const at = builder.constant('int64', [], [axis]);
  return builder.op('Gather', [builder.op('Shape', [of]), at], { axis: 0n });
}

function asFloat(builder: GraphBuilder, of: string): string {
  return builder.op('Cast', [of], { to: 1n });
}

const TARGET = value('target', 'int64', [3]);
const FRONT = value('front', 'int64', [2]);

describe('sizes that only a run tells', () => {
  it('a Reshape to a shape that the caller gives is declined, because it asks for the old width', async () => {
    const builder = dynamicBuilder();
    const h = builder.op('Reshape', [hidden(builder), 'target']);
    const model = finish(builder, h, TARGET);
    const { found, groups } = await pruneAndCompare(model, { x: X, target: int64(2, 5, 12) });
    expect(groups).toEqual([]);
    expect(found.declined.map(({ reason }) => reason)).toContain(
      'its size cannot follow the cut (the sizes it makes are known only in a run).',
    );
  });

  it('a Reshape to a shape of which the caller gives the front alone is rewritten', async () => {
    const builder = dynamicBuilder();
    const target = builder.op('Concat', ['front', builder.ints(12)], { axis: 0n });
    const h = builder.op('Reshape', [hidden(builder), target]);
    const model = finish(builder, h, FRONT);
    const { groups, difference } = await pruneAndCompare(model, { x: X, front: int64(2, 5) });
    expect(groups).toEqual(['ffn 12/1']);
    expect(difference).toBe(0);
  });

  it('-1 for the width follows by itself, whatever the caller puts before it', async () => {
    const builder = dynamicBuilder();
    const target = builder.op('Concat', ['front', builder.ints(-1)], { axis: 0n });
    const h = builder.op('Reshape', [hidden(builder), target]);
    const model = finish(builder, h, FRONT);
    const { groups, difference } = await pruneAndCompare(model, { x: X, front: int64(2, 5) });
    expect(groups).toEqual(['ffn 12/1']);
    expect(difference).toBe(0);
  });

  it('an Expand to a shape that the caller gives is declined', async () => {
    const builder = dynamicBuilder();
    const wide = builder.op('Expand', [builder.weight(12), 'target']);
    const h = builder.op('Mul', [hidden(builder), wide]);
    const model = finish(builder, h, TARGET);
    const { found, groups } = await pruneAndCompare(model, { x: X, target: int64(2, 5, 12) });
    expect(groups).toEqual([]);
    expect(found.declined).toContainEqual({
      name: expect.any(String),
      node: model.graph.nodes.at(-1)!.name,
      reason: 'the shape of its input is unknown',
    });
  });

  it('a Reshape of something else keeps the width that it took from the channels', async () => {
    const builder = dynamicBuilder();
    const h = hidden(builder);
    const target = builder.op(
      'Concat',
      [builder.ints(-1), builder.op('Unsqueeze', [sizeOf(builder, h, 2), builder.ints(0)])],
      { axis: 0n },
    );
    // 120 numbers of x in rows of 12, of which one sum each is added to all.
    const wide = builder.op(
      'Concat',
      ['x', builder.op('Slice', ['x', builder.ints(0), builder.ints(4), builder.ints(2)])],
      { axis: 2n },
    );
    const rows = builder.op('Reshape', [wide, target]);
    const total = builder.op('ReduceMax', [rows, builder.ints(0)], { keepdims: 0n });
    const scalar = builder.op('ReduceSum', [total], { keepdims: 0n });
    const model = finish(builder, builder.op('Mul', [h, scalar]));
    const { groups, difference } = await pruneAndCompare(model, { x: X });
    expect(groups).toEqual(['ffn 12/1']);
    expect(difference).toBe(0);
  });
});

describe('a width in arithmetic', () => {
  it('goes on with the number of the whole model: a scale of 1 / sqrt(channels)', async () => {
    const builder = dynamicBuilder();
    const h = hidden(builder);
    const root = builder.op('Sqrt', [asFloat(builder, sizeOf(builder, h, 2))]);
    const { groups, difference } = await pruneAndCompare(
      finish(builder, builder.op('Div', [h, root])),
      { x: X },
    );
    expect(groups).toEqual(['ffn 12/1']);
    expect(difference).toBe(0);
  });

  it('goes on with it in an exponent, where no rounding could hide the change', async () => {
    const builder = dynamicBuilder();
    const h = hidden(builder);
    const exponent = builder.op('Div', [
      asFloat(builder, sizeOf(builder, h, 2)),
      builder.scalar(12),
    ]);
    const { groups, difference } = await pruneAndCompare(
      finish(builder, builder.op('Pow', [h, exponent])),
      { x: X },
    );
    expect(groups).toEqual(['ffn 12/1']);
    expect(difference).toBe(0);
  });

  it('that also holds batch and length of a run is declined: no constant says it', async () => {
    const builder = dynamicBuilder();
    const h = hidden(builder);
    const count = asFloat(builder, builder.op('Size', [h]));
    const model = finish(builder, builder.op('Div', [h, count]));
    const { found, groups } = await pruneAndCompare(model, { x: X });
    expect(groups).toEqual([]);
    expect(found.declined.map(({ reason }) => reason).join()).toMatch(
      /it computes with \S+, a size that the cut changes/,
    );
  });

  it('is declined where the model gives it out', async () => {
    const builder = dynamicBuilder();
    const h = hidden(builder);
    const shape = builder.op('Shape', [h]);
    const model = finish(builder, h);
    const outputs = [...model.graph.outputs, value(shape, 'int64', [3])];
    const open = { ...model, graph: { ...model.graph, outputs } };
    expect(() =>
      applyPruning(
        open,
        findGroups(open).groups.map((group) => ({ group, removed: [1] })),
      ),
    ).toThrow(/an output of the model and a size that the cut changes/);
  });

  it('is declined where a body reads it', async () => {
    const builder = dynamicBuilder();
    const h = hidden(builder);
    const width = sizeOf(builder, h, 2);
    const branch = (name: string) => ({
      name,
      nodes: [node('Cast', [width], `${name}_float`, { to: 1n })],
      inputs: [],
      outputs: [value(`${name}_float`, 'float32', [])],
      initializers: new Map(),
      sparseInitializers: [],
      valueInfo: new Map(),
    });
    const test = builder.op('Greater', [
      sizeOf(builder, 'x', 1),
      builder.constant('int64', [], [3]),
    ]);
    const bodies = new Map(
      ['then_branch', 'else_branch'].map(
        (name) => [name, { name, kind: 'graph', value: branch(name) }] as const,
      ),
    );
    builder.nodes.push({
      ...node('If', [test], 'factor'),
      attributes: new Map([...attributes({}), ...bodies]),
    });
    const model = finish(builder, builder.op('Mul', [h, 'factor']));
    const { found, groups } = await pruneAndCompare(model, { x: X });
    expect(groups).toEqual([]);
    expect(found.declined).toContainEqual({
      name: expect.any(String),
      node: '/factor/If',
      reason: expect.stringMatching(/its body reads \S+, a size that the cut changes/),
    });
  });

  it('as a head count in a scale leaves attention as it was', async () => {
    const builder = dynamicBuilder();
    const [heads, width] = [4, 4];
    const split = (weight: string): string =>
      builder.transpose(
        builder.op('Reshape', [
          builder.op('MatMul', ['x', weight]),
          builder.shape('B', 'T', heads, width),
        ]),
        0,
        2,
        1,
        3,
      );
    const [q, k, v] = [0, 1, 2].map(() => split(builder.weight(8, heads * width)));
    const count = builder.op('Sqrt', [asFloat(builder, sizeOf(builder, q!, 1))]);
    const scores = builder.op('MatMul', [q!, builder.transpose(k!, 0, 1, 3, 2)]);
    const weights = builder.op('Softmax', [builder.op('Mul', [scores, count])], { axis: -1n });
    const merged = builder.op('Reshape', [
      builder.transpose(builder.op('MatMul', [weights, v!]), 0, 2, 1, 3),
      builder.shape('B', 'T', -1),
    ]);
    const y = builder.op('MatMul', [merged, builder.weight(heads * width, 8)]);
    const model = builder.build(SHAPE, { [y]: SHAPE });
    const { groups, difference } = await pruneAndCompare(model, { x: X });
    expect(groups).toEqual(['heads 4/1']);
    expect(difference).toBe(0);
  });
});
