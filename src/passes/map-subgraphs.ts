import type { Attribute, Graph, Node } from '../ir/model.ts';

/** Returns the node with every body replaced; the same node when no body changed. */
export function mapSubgraphs(node: Node, change: (graph: Graph) => Graph): Node {
  return mapAttributes(node, (attribute) => {
    if (attribute.kind === 'graph') {
      const value = change(attribute.value);
      return value === attribute.value ? attribute : { ...attribute, value };
    }
    if (attribute.kind !== 'graphs') return attribute;
    const value = attribute.value.map(change);
    const same = value.every((graph, index) => graph === attribute.value[index]);
    return same ? attribute : { ...attribute, value };
  });
}

/** Returns the node with every attribute mapped; the same node when none changed. */
export function mapAttributes(node: Node, change: (attribute: Attribute) => Attribute): Node {
  let next: Map<string, Attribute> | undefined;
  for (const [name, attribute] of node.attributes) {
    const changed = change(attribute);
    if (changed === attribute) continue;
    next ??= new Map(node.attributes);
    next.set(name, changed);
  }
  return next === undefined ? node : { ...node, attributes: next };
}
