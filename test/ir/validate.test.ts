import { describe, expect, it } from 'vitest';
import { validate } from '../../src/ir/validate.ts';
import { parseModel } from '../golden/graph-text.ts';

function graph(nodes: string): ReturnType<typeof parseModel> {
  return parseModel(`<ir_version: 8, opset_import: ["" : 18]>
    main (bool flag, float[4] x) => (float[4] y) <float[4] w = {1, 2, 3, 4}> { ${nodes} }`);
}

describe('validate', () => {
  it('accepts a body that captures outer values', () => {
    const body = 'graph b () => (float[4] a) { a = Add(x, w) }';
    expect(validate(graph(`y = If<then_branch = ${body}, else_branch = ${body}>(flag)`))).toEqual(
      [],
    );
  });

  it.each([
    [
      'a value read before it is made',
      'y = Relu(t) t = Neg(x)',
      'reads t, which nothing before it defines',
    ],
    ['a cycle', 'a = Add(x, b) b = Neg(a) y = Relu(b)', 'reads b, which nothing before it defines'],
    ['a name made twice', 't = Neg(x) t = Relu(x) y = Relu(t)', 't is defined twice'],
    ['an initializer made again', 'w = Neg(x) y = Relu(w)', 'w is defined twice'],
    ['an output that nothing makes', 't = Neg(x)', 'output y is not made'],
  ])('finds %s', (_, nodes, problem) => {
    expect(validate(graph(nodes)).join(' ')).toContain(problem);
  });

  it('finds two nodes of one name', () => {
    const model = graph('t = Neg(x) y = Relu(t)');
    const nodes = model.graph.nodes.map((node) => ({ ...node, name: 'same' }));
    expect(validate({ ...model, graph: { ...model.graph, nodes } })).toEqual([
      'graph main: two nodes are named same.',
    ]);
  });
});
