/** A masked model that shares no order of sums with the cut one: the second witness. */
import { withGraph } from '../../src/ir/edit.ts';
import type { Model, Node } from '../../src/ir/model.ts';
import { tensorOfElements } from '../../src/ops/tensor-elements.ts';
import { inferFacts } from '../../src/passes/infer-facts.ts';
import { consumedUnits } from '../../src/prune/group.ts';
import type { Cut } from '../../src/prune/kept-axes.ts';
import { node as makeNode } from '../kit/models.ts';

/** Returns the whole model with the weights of removed units times zero, each where it was. */
export function plainlyMasked(model: Model, cuts: readonly Cut[]): Model {
  const facts = inferFacts(model).of(model.graph);
  const initializers = new Map(model.graph.initializers);
  const masks = new Map<Node, Node[]>();
  cuts.forEach(({ group, removed }, cut) => {
    if (removed.length === 0) return;
    group.consumers.forEach((consumer, index) => {
      const { node, weight, weightAxis } = consumer;
      const name = `plain_mask_${cut}_${index}`;
      const units = [...consumedUnits(group, consumer)];
      const rank = facts.get(node.inputs[weight]!)!.shape!.length;
      const dims = Array.from({ length: rank }, (_, axis) =>
        axis === weightAxis ? units.length : 1,
      );
      const mask = units.map((unit) => (removed.includes(unit) ? 0 : 1));
      initializers.set(name, tensorOfElements(name, 'float32', dims, mask)!);
      const before = masks.get(node) ?? [];
      const source = before.at(-1)?.outputs[0] ?? node.inputs[weight]!;
      masks.set(node, [...before, makeNode('Mul', [source, name], `${name}_applied`)]);
    });
  });
  const weightOf = new Map(
    cuts.flatMap(({ group }) => group.consumers.map(({ node, weight }) => [node, weight] as const)),
  );
  const nodes = model.graph.nodes.flatMap((node) => {
    const before = masks.get(node);
    if (before === undefined) return [node];
    const inputs = node.inputs.with(weightOf.get(node)!, before.at(-1)!.outputs[0]!);
    return [...before, { ...node, inputs }];
  });
  return withGraph(model, { ...model.graph, nodes, initializers });
}
