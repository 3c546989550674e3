import { describe, expect, it } from 'vitest';
import { subgraphs } from '../../src/ir/attributes.ts';
import type { Graph, Model } from '../../src/ir/model.ts';
import { validate } from '../../src/ir/validate.ts';
import { closeBodies } from '../../src/passes/close-bodies.ts';
import { distinctNames } from '../../src/passes/distinct-names.ts';
import { bodyOf, isReached, openBodies } from '../../src/passes/open-bodies.ts';
import type { Declined } from '../../src/passes/pass.ts';
import { findOpenedLinears } from '../../src/structure/find-linears.ts';
import { floats, node } from '../kit/models.ts';
import { makeFeeds, runOnce } from '../kit/run-once.ts';
import { looped, merged, nested } from '../quantize/body-models.ts';

const MODELS = { merged, looped, nested };

function bodyNames({ nodes }: Graph): readonly string[] {
  return nodes.flatMap((entry) =>
    subgraphs(entry).flatMap((body) => body.nodes.map((n) => n.name)),
  );
}

describe('openBodies', () => {
  it('shows the nodes of every body in the main graph, in front of the node that holds it', () => {
    const opened = openBodies(merged());
    const names = opened.model.graph.nodes.map(({ outputs }) => outputs[0]);
    expect(names).toEqual([
      ...['q', 'entered', 'up', 'active', 'down'],
      ...['q_1', 'entered_1', 'up_1', 'active_1', 'down_1'],
      ...['decoded', 'bounded', 'y'],
    ]);
  });

  it('lets layers in bodies be found, with the body that each lies in', () => {
    const opened = openBodies(nested());
    const [layer, ...others] = findOpenedLinears(opened);
    expect(others).toEqual([]);
    expect(bodyOf(opened, layer!.node)?.label).toBe('then_branch of If "/chosen/If"');
    expect(bodyOf(opened, layer!.node)?.parent?.label).toBe('then_branch of If "/y/If"');
  });

  it('calls layers of the main graph what they are called without it', () => {
    const names = findOpenedLinears(openBodies(merged())).map(({ name }) => name);
    expect(names).toEqual(['q#2', 'up', 'down', 'q#3', 'up#2', 'down#2', 'q']);
  });

  it('knows that what a Loop computes cannot be observed', () => {
    const opened = openBodies(looped());
    const layers = findOpenedLinears(opened);
    expect(layers.map((layer) => [layer.name, isReached(opened, layer)])).toEqual([
      ['start', true],
      ['stepped', false],
    ]);
  });

  it('leaves graphs that an operator reads for itself alone, and says what they hold', () => {
    const source = nested();
    const [holder] = source.graph.nodes;
    const search = { ...holder!, opType: 'BeamSearch', domain: 'com.microsoft', name: 'search' };
    const model = { ...source, graph: { ...source.graph, nodes: [search] } };
    expect(openBodies(model).model).toBe(model);
    const declined: Declined[] = [];
    const opened = openBodies(model);
    findOpenedLinears(opened, opened.model, { decline: (entry) => declined.push(entry) });
    expect(declined.map(({ node: name, reason }) => [name, reason])).toEqual([
      ['search', '1 products with constants lie in graphs that only BeamSearch reads'],
    ]);
  });

  it('gives back a model without products in bodies as it is', () => {
    const model = distinctNames.run(nested(), { decline: () => {} });
    const plain: Model = { ...model, graph: { ...model.graph, nodes: [node('Relu', ['x'], 'y')] } };
    expect(openBodies(plain).model).toBe(plain);
  });
});

describe('closeBodies', () => {
  it.each(Object.entries(MODELS))('undoes opening: %s', (_, make) => {
    const opened = openBodies(make());
    expect(closeBodies(opened, opened.model)).toEqual(opened.closed);
  });

  it.each(Object.entries(MODELS))('leaves what onnxruntime computes: %s', async (_, make) => {
    const source = make();
    const opened = openBodies(source);
    const closed = closeBodies(opened, opened.model);
    const feeds = makeFeeds(source);
    expect(await runOnce(closed, feeds)).toEqual(await runOnce(source, feeds));
  });

  it('puts a new node where its readers are, one with readers in both branches around them', () => {
    const opened = openBodies(merged());
    const { graph } = opened.model;
    const first = graph.nodes.find(({ outputs }) => outputs[0] === 'up')!;
    const nodes = graph.nodes.flatMap((entry) => {
      if (entry.outputs[0] === 'q') {
        // Both products of x read the new value, the second one in the other branch.
        return [node('Abs', ['x'], 'both'), { ...entry, inputs: ['both', entry.inputs[1]!] }];
      }
      if (entry.outputs[0] === 'q_1') return [{ ...entry, inputs: ['both', entry.inputs[1]!] }];
      if (entry !== first) return [entry];
      const scaled = { ...entry, inputs: ['one', entry.inputs[1]!] };
      return [node('Mul', ['entered', 'factor'], 'one'), scaled];
    });
    const added = new Map([...graph.initializers, ['factor', floats('factor', [], [2])] as const]);
    const closed = closeBodies(opened, {
      ...opened.model,
      graph: { ...graph, nodes, initializers: added },
    });
    expect(validate(closed)).toEqual([]);
    expect(closed.graph.nodes.map(({ outputs }) => outputs[0])).toEqual([
      'both',
      'decoded',
      'bounded',
      'y',
    ]);
    expect(bodyNames(closed.graph).filter((name) => name === '/one/Mul')).toHaveLength(1);
    // The scalar goes along, the weights stay where both branches see them.
    const [then] = subgraphs(closed.graph.nodes[1]!);
    expect([...then!.initializers.keys()]).toEqual(['factor']);
    expect(closed.graph.initializers.has('factor')).toBe(false);
    expect(closed.graph.initializers.has('q.weight')).toBe(true);
  });
});
