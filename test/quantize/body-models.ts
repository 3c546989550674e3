/** Models whose products lie in bodies of If, Loop and Scan. */
import { attributes } from '../../src/ir/attributes.ts';
import type { Graph, Model, Node, ValueInfo } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';

const WIDTH = 64;
const HIDDEN = 128;

function body(parts: {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs?: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers?: readonly Tensor[];
}): Graph {
  return {
    name: parts.name,
    nodes: parts.nodes,
    inputs: parts.inputs ?? [],
    outputs: parts.outputs,
    initializers: new Map((parts.initializers ?? []).map((tensor) => [tensor.name, tensor])),
    sparseInitializers: [],
    valueInfo: new Map(),
  };
}

export function weight(name: string, rows: number, columns: number): Tensor {
  const values = noise(name.length + 7 * rows + columns, rows * columns);
  return floats(
    name,
    [rows, columns],
    values.map((entry) => entry / Math.sqrt(rows)),
  );
}

/**
 * Two branches that use the same names and weights, as merged decoders do; the one that has a past adds it.
 * A layer of the main graph follows, with the name of one in the branches.
 */
export function merged(): Model {
  const branch = (name: string, hasPast: boolean): Graph =>
    body({
      name,
      nodes: [
        node('MatMul', ['x', 'q.weight'], 'q'),
        ...(hasPast ? [node('Add', ['q', 'past'], 'entered')] : [node('Tanh', ['q'], 'entered')]),
        node('MatMul', ['entered', 'up.weight'], 'up'),
        node('Relu', ['up'], 'active'),
        node('MatMul', ['active', 'down.weight'], 'down'),
      ],
      outputs: [value('down', 'float32', ['b', 's', WIDTH])],
    });
  return model({
    nodes: [
      {
        ...node('If', ['use_cache'], 'decoded'),
        name: 'decoder',
        attributes: attributes({
          then_branch: branch('with_past', true),
          else_branch: branch('no_past', false),
        }),
      },
      node('Tanh', ['decoded'], 'bounded'),
      { ...node('MatMul', ['bounded', 'out.weight'], 'y'), name: '/q/last' },
    ],
    initializers: [
      weight('q.weight', WIDTH, WIDTH),
      weight('up.weight', WIDTH, HIDDEN),
      weight('down.weight', HIDDEN, WIDTH),
      weight('out.weight', WIDTH, WIDTH),
    ],
    inputs: [
      value('x', 'float32', ['b', 's', WIDTH]),
      value('past', 'float32', ['b', 1, WIDTH]),
      value('use_cache', 'bool', [1]),
    ],
    outputs: [value('y', 'float32', ['b', 's', WIDTH])],
  });
}

/** A state that goes through one layer in each of three turns; a layer in the main graph feeds it, or Tanh. */
export function looped(entry: 'layer' | 'Tanh' = 'layer'): Model {
  const turn = body({
    name: 'turn',
    inputs: [
      value('turn_index', 'int64', []),
      value('go_on', 'bool', []),
      value('state', 'float32', ['n', WIDTH]),
    ],
    nodes: [
      node('MatMul', ['state', 'step.weight'], 'stepped'),
      node('Tanh', ['stepped'], 'next'),
      node('Identity', ['go_on'], 'still'),
    ],
    outputs: [value('still', 'bool', []), value('next', 'float32', ['n', WIDTH])],
  });
  return model({
    nodes: [
      entry === 'layer'
        ? node('MatMul', ['x', 'in.weight'], 'start')
        : node('Tanh', ['x'], 'start'),
      { ...node('Loop', ['turns', 'true', 'start'], 'y'), attributes: attributes({ body: turn }) },
    ],
    initializers: [
      ...(entry === 'layer' ? [weight('in.weight', WIDTH, WIDTH)] : []),
      weight('step.weight', WIDTH, WIDTH),
      inlineTensor('turns', 'int64', [], new Uint8Array(BigInt64Array.of(3n).buffer)),
      inlineTensor('true', 'bool', [], Uint8Array.of(1)),
    ],
    inputs: [value('x', 'float32', ['n', WIDTH])],
    outputs: [value('y', 'float32', ['n', WIDTH])],
  });
}

/** An If in a branch of another; the innermost branch has a weight of its own. */
export function nested(): Model {
  const inner = node('If', ['deep'], 'chosen', {
    then_branch: body({
      name: 'deep',
      nodes: [node('MatMul', ['x', 'own.weight'], 'a')],
      outputs: [value('a', 'float32', ['n', WIDTH])],
      initializers: [weight('own.weight', WIDTH, WIDTH)],
    }),
    else_branch: body({
      name: 'shallow',
      nodes: [node('Neg', ['x'], 'a')],
      outputs: [value('a', 'float32', ['n', WIDTH])],
    }),
  });
  return model({
    nodes: [
      node('If', ['flag'], 'y', {
        then_branch: body({
          name: 'then',
          nodes: [inner, node('Tanh', ['chosen'], 'b')],
          outputs: [value('b', 'float32', ['n', WIDTH])],
        }),
        else_branch: body({
          name: 'else',
          nodes: [node('Relu', ['x'], 'b')],
          outputs: [value('b', 'float32', ['n', WIDTH])],
        }),
      }),
    ],
    inputs: [
      value('x', 'float32', ['n', WIDTH]),
      value('flag', 'bool', []),
      value('deep', 'bool', []),
    ],
    outputs: [value('y', 'float32', ['n', WIDTH])],
  });
}
