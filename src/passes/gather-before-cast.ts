import { editGraph, nameMaker, withGraph } from '../ir/edit.ts';
import { indexUses, type UseIndex } from '../ir/index-uses.ts';
import type { Graph, Node } from '../ir/model.ts';
import type { Pass } from './pass.ts';

/**
 * Widens the rows that are looked up instead of the whole table, with the same bits:
 * `Gather(Cast(table), ids)` -> `Cast(Gather(table, ids))` for the initializers of the main graph. The
 * embedding of a large model would otherwise be widened in every run, all gigabytes of it.
 */
export const gatherBeforeCast: Pass = {
  name: 'gather-before-cast',
  description: 'looks up rows of a table before they are cast, not after',
  run(model) {
    const { graph } = model;
    const index = indexUses(graph);
    const makeName = nameMaker(graph);
    const replace = new Map<Node, readonly Node[]>();
    for (const node of graph.nodes) {
      const cast = tableCast(graph, index, node);
      if (cast !== undefined) replace.set(node, swap(node, cast, makeName));
    }
    if (replace.size === 0) return model;
    for (const gather of [...replace.keys()]) {
      const [table = ''] = gather.inputs;
      const isRead = (index.uses.get(table) ?? []).some(({ node }) => !replace.has(node));
      if (!isRead && !index.outputs.has(table)) replace.set(index.producers.get(table)!, []);
    }
    return withGraph(model, editGraph(graph, { replace }));
  },
};

/** The Cast of an initializer that a Gather looks its rows up in. */
function tableCast(graph: Graph, { producers }: UseIndex, node: Node): Node | undefined {
  if (node.opType !== 'Gather' || node.domain !== '') return undefined;
  const cast = producers.get(node.inputs[0] ?? '');
  if (cast?.opType !== 'Cast' || cast.domain !== '') return undefined;
  return graph.initializers.has(cast.inputs[0] ?? '') ? cast : undefined;
}

function swap(gather: Node, cast: Node, makeName: (wanted: string) => string): readonly Node[] {
  const [output = ''] = gather.outputs;
  const rows = makeName(`${output}_rows`);
  const [, ...others] = gather.inputs;
  return [
    { ...gather, inputs: [cast.inputs[0] ?? '', ...others], outputs: [rows] },
    {
      ...cast,
      name: makeName(`${gather.name || output}_cast`),
      inputs: [rows],
      outputs: [output],
    },
  ];
}
