import { describe, expect, it } from 'vitest';
import { withGraph } from '../../src/ir/edit.ts';
import type { Dim, Node } from '../../src/ir/model.ts';
import { beginRewrite, finishRewrite } from '../../src/ir/rewrite.ts';
import type { Tensor } from '../../src/ir/tensor.ts';
import { tensorOfElements } from '../../src/ops/tensor-elements.ts';
import { inferFacts } from '../../src/passes/infer-facts.ts';
import { forceElements } from '../../src/prune/force-elements.ts';
import { graphContext } from '../../src/prune/graph-context.ts';
import { keptAxes } from '../../src/prune/kept-axes.ts';
import { sizeFacts } from '../../src/prune/size-facts.ts';
import { model, node, value } from '../kit/models.ts';

/** Sizes of `h [batch, sequence, 4]`, of which two channels go, and what reads a vector of them. */
function force(
  nodes: readonly Node[],
  constants: Readonly<Record<string, readonly number[]>>,
  ...[of, wanted]: readonly [string, readonly Dim[]]
) {
  const initializers = Object.entries(constants).map(
    ([name, elements]): Tensor => tensorOfElements(name, 'int64', [elements.length], elements)!,
  );
  const relu = node('Relu', ['x'], 'h');
  const reader = node('Reshape', ['h', of], 'y');
  const small = model({
    nodes: [relu, ...nodes, reader],
    initializers,
    inputs: [value('x', 'float32', ['batch', 'sequence', 4]), value('given', 'int64', [1])],
    outputs: [value('y', 'float32', [])],
  });
  const context = graphContext(small);
  const units = Int32Array.of(0, 1, 2, 3);
  const group = {
    name: 'g',
    kind: 'ffn' as const,
    unitCount: 4,
    blockCount: 1,
    axes: ['x', 'h'].map((name) => ({ value: name, axis: 2, units })),
    copies: [],
    consumers: [],
  };
  const sizes = sizeFacts(context, keptAxes(context, [{ group, removed: [1, 3] }]));
  const rewrite = beginRewrite(small.graph);
  const forced = forceElements({ view: context.view, sizes, rewrite, reader }, of, wanted);
  if (forced === undefined) return { forced, sizes };
  rewrite.instead.set(reader, [{ ...reader, inputs: ['h', forced] }]);
  // As after the cut: two channels are left.
  const inputs = small.graph.inputs.with(0, value('x', 'float32', ['batch', 'sequence', 2]));
  const after = withGraph(small, { ...finishRewrite(rewrite, new Map()), inputs });
  const facts = inferFacts(after).of(after.graph).get(forced);
  return {
    forced,
    sizes,
    elements: facts?.elements,
    nodes: after.graph.nodes.map(({ opType }) => opType),
  };
}

const SHAPE = node('Shape', ['h'], 'shape');
const gather = (index: string, output: string) =>
  node('Gather', ['shape', index], output, { axis: 0n });

describe('sizeFacts', () => {
  it('tells what changes with the cut and what does not', () => {
    const nodes = [
      SHAPE,
      gather('first', 'batch'),
      gather('last', 'width'),
      node('Mul', ['width', 'two'], 'twice'),
    ];
    const { sizes } = force(nodes, { first: [0], last: [2], two: [2] }, 'twice', [4]);
    expect(sizes.before('twice').elements).toEqual([8]);
    expect(sizes.after('twice').elements).toEqual([4]);
    expect(['shape', 'batch', 'width', 'twice', 'two', 'x'].map(sizes.changes)).toEqual([
      true,
      false,
      true,
      true,
      false,
      false,
    ]);
    expect([sizes.isArithmetic(nodes[3]!), sizes.isArithmetic(node('Relu', ['x'], 'h'))]).toEqual([
      true,
      false,
    ]);
  });
});

describe('forceElements', () => {
  it('leaves what follows by itself', () => {
    const nodes = [SHAPE, gather('last', 'width')];
    expect(force(nodes, { last: [-1] }, 'width', [2]).forced).toBe('width');
  });

  it('replaces a constant for this reader', () => {
    const found = force([], { sizes: [0, 0, 4] }, 'sizes', [0, 0, 2]);
    expect(found.forced).not.toBe('sizes');
    expect(found.elements).toEqual([0, 0, 2]);
  });

  it('replaces one part of a Concat and keeps what a run tells', () => {
    const nodes = [
      SHAPE,
      gather('first', 'batch'),
      node('Concat', ['batch', 'given', 'width'], 'sizes', { axis: 0n }),
    ];
    const found = force(nodes, { first: [0], width: [4] }, 'sizes', ['batch', 'open(-1.1)', 2]);
    // The name of what only a run tells is not known here; a wrong one is refused.
    expect(found.forced).toBeUndefined();
    const named = found.sizes.before('sizes').elements!;
    const again = force(nodes, { first: [0], width: [4] }, 'sizes', named.with(2, 2));
    expect(again.elements).toEqual(['batch', undefined, 2]);
    expect(again.nodes).toEqual(['Relu', 'Shape', 'Gather', 'Concat', 'Reshape']);
  });

  it('divides a product by what the other factor has become', () => {
    const nodes = [SHAPE, gather('first', 'batch'), node('Mul', ['batch', 'heads'], 'rows')];
    const found = force(nodes, { first: [0], heads: [4] }, 'rows', ['3*batch']);
    expect(found.elements).toEqual(['3*batch']);
  });

  it('divides by what is left of a dividend that has become fewer', () => {
    const nodes = [node('Size', ['h'], 'total'), node('Div', ['total', 'four'], 'rows')];
    const found = force(nodes, { four: [4] }, 'rows', ['batch*sequence']);
    expect(found.elements).toEqual(['batch*sequence']);
    expect(force(nodes, { four: [4] }, 'rows', ['7*batch']).forced).toBeUndefined();
  });

  it('goes through a Where whose test is known', () => {
    const nodes = [
      node('Equal', ['sizes', 'minus'], 'test'),
      node('Where', ['test', 'ones', 'sizes'], 'target'),
    ];
    const constants = { sizes: [-1, 4], minus: [-1], ones: [1, 1] };
    const found = force(nodes, constants, 'target', [1, 2]);
    expect(found.elements).toEqual([1, 2]);
  });

  it('writes a constant where a width comes from elsewhere, and gives up on what no constant says', () => {
    const other = [node('Shape', ['x'], 'shape'), gather('last', 'width')];
    expect(force(other, { last: [2] }, 'width', [3]).elements).toEqual([3]);
    const total = [node('Size', ['h'], 'total')];
    expect(force(total, {}, 'total', ['7*batch']).forced).toBeUndefined();
  });
});
