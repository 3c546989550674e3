/** Graphs with a piece missing or put elsewhere: whatever they are, they are cut, declined or refused in words. */
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import type { Model, Node, ValueInfo } from '../../src/ir/model.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { cuttableGroups } from '../../src/prune/cuttable-groups.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { type Dice, dice } from './graph-builder.ts';
import { everyThird } from './prune-and-compare.ts';
import { randomGraph } from './random-graph.ts';

const COUNT = 300;

type Mutation = (model: Model, random: Dice) => Model;

/** One node in another form. */
function changeNode(model: Model, random: Dice, change: (node: Node) => Node): Model {
  const at = random.below(model.graph.nodes.length);
  const nodes = model.graph.nodes.map((node, index) => (index === at ? change(node) : node));
  return { ...model, graph: { ...model.graph, nodes } };
}

function changeInput(model: Model, change: (info: ValueInfo) => ValueInfo): Model {
  return { ...model, graph: { ...model.graph, inputs: model.graph.inputs.map(change) } };
}

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'an input without a type': (model) => changeInput(model, ({ name }) => ({ name })),
  'an input of unknown sizes': (model) =>
    changeInput(model, (info) => ({
      ...info,
      type: { kind: 'tensor', dataType: 'float32', shape: [undefined, undefined, undefined] },
    })),
  'a node without an attribute': (model, random) =>
    changeNode(model, random, (node) => {
      const [name] = node.attributes.keys();
      const attributes = new Map(node.attributes);
      attributes.delete(name ?? '');
      return { ...node, attributes };
    }),
  'a node without its last input': (model, random) =>
    changeNode(model, random, (node) => ({ ...node, inputs: node.inputs.slice(0, -1) })),
  'a node that reads another value': (model, random) => {
    const names = [...model.graph.initializers.keys(), 'x', '', 'nowhere'];
    return changeNode(model, random, (node) => ({
      ...node,
      inputs: node.inputs.map((name, index) => (index === 0 ? name : random.pick(names))),
    }));
  },
  'a node of another kind': (model, random) => {
    const kinds = model.graph.nodes.map(({ opType, domain }) => ({ opType, domain }));
    return changeNode(model, random, (node) => ({ ...node, ...random.pick(kinds) }));
  },
  'a node of an unknown domain': (model, random) =>
    changeNode(model, random, (node) => ({ ...node, domain: 'custom' })),
  'a value that the model gives out as well': (model, random) => {
    const { nodes, outputs } = model.graph;
    const name = random.pick(nodes).outputs[0]!;
    return { ...model, graph: { ...model.graph, outputs: [...outputs, { name }] } };
  },
};

describe('a graph with', () => {
  it.each(Object.entries(MUTATIONS))('%s never crashes', (_, mutate) => {
    for (let seed = 0; seed < COUNT / Object.keys(MUTATIONS).length; seed++) {
      const random = dice(seed + 5000);
      const model = mutate(randomGraph(seed).model, random);
      const { groups, declined } = cuttableGroups(model, findGroups(model));
      for (const { node, reason } of declined) expect([seed, node, reason]).not.toContain('');
      const cuts = groups.map((group) => ({ group, removed: everyThird(group) }));
      try {
        applyPruning(model, cuts);
      } catch (error) {
        // A larger cut than the one that was tried may not fit: that is said, too.
        expect(error, `seed ${seed}`).toBeInstanceOf(UnsupportedError);
      }
    }
  });
});
