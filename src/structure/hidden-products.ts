import { subgraphs } from '../ir/attributes.ts';
import type { Graph, Node } from '../ir/model.ts';
import { findOp } from '../ops/index.ts';

/** Returns how many products with a constant lie in graphs of a node, which a search for layers does not see. */
export function hiddenProducts(node: Node): number {
  return subgraphs(node).reduce((count, graph) => count + productsIn(graph), 0);
}

function productsIn(graph: Graph): number {
  const computed = new Set(graph.inputs.map(({ name }) => name));
  let count = 0;
  for (const node of graph.nodes) {
    const at = findOp(node.domain, node.opType)?.weight?.input;
    const value = at === undefined ? '' : (node.inputs[at] ?? '');
    if (value !== '' && !computed.has(value)) count++;
    count += hiddenProducts(node);
    if (node.opType !== 'Constant') for (const output of node.outputs) computed.add(output);
  }
  return count;
}
